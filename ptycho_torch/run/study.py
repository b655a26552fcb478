"""A search for the best configuration by a sampler of Optuna, kept in a database that a later search goes on with."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from hydra.core.override_parser.types import IntervalSweep, Override
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from ptycho_torch.config.sweep import SweepSettings
from ptycho_torch.errors import ConfigError, OutputError
from ptycho_torch.run.compose import Composer, Configuration, parse_overrides
from ptycho_torch.run.launch import Launcher, check_trainings
from ptycho_torch.run.nodes import LAUNCHER
from ptycho_torch.run.sweep import (
    SWEEP_NAME,
    Trial,
    check_root,
    find_root,
    flatten,
    make_trial,
    read_sweep,
    write_sweep,
)
from ptycho_torch.storage.locking import lock_folder
from ptycho_torch.storage.writing import write_json

STUDY_NAME = "study.sqlite"
_NAME = "sweep"
_ABSENT = "nothing"
_SAMPLERS = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
# what may differ between the parts of one search
_MAY_CHANGE = ("sweep.trials", "sweep.resume", "run.output_dir", "run.quiet")


def run_study(composer: Composer, overrides: Sequence[str], configuration: Configuration, launcher: Launcher) -> int:
    """Search in the space that the overrides span; returns 0, or 1 if no run succeeded.

    Args:
        composer: composes the configuration of each run.
        overrides: those with several values, or with an interval, span the space.
        configuration: what is the same in all runs.
        launcher: runs them.

    Raises:
        ConfigError: the space or a configuration at its corners is unusable, or the stage has no figure to optimise.
        OutputError: the output folder is in use, or its search was in another space.
    """
    settings, root = configuration.sweep, find_root(configuration)
    metric = settings.metric or configuration.stage.metric
    if metric is None:
        raise ConfigError(f"{configuration.stage.name} has no figure to optimise; name one by sweep.metric")
    parsed = parse_overrides(overrides)
    fixed = [override.input_line or "" for override in parsed if not override.is_sweep_override()]
    searched = [override for override in parsed if override.is_sweep_override()]
    if not searched:
        raise ConfigError("there is nothing to search; give a key several values, or interval(LOW,HIGH)")
    space = {override.get_key_element(): _make_distribution(override, configuration) for override in searched}

    def compose(number: int, params: dict[str, Any]) -> Trial:
        distinct = {key: str(value) for key, value in params.items()}
        return make_trial(composer, [*fixed, *(f"{key}={value}" for key, value in distinct.items())], distinct, number)

    corners = [compose(number, corner).values for number, corner in enumerate(_list_corners(space))]
    check_root(root, resume=settings.resume)
    if not settings.resume:
        check_trainings(corners, launcher)
    with lock_folder(root):
        study = _open_study(root, settings, _describe(configuration, space, metric))
        trials = [compose(trial.number, trial.params) for trial in study.trials]
        codes = {row["folder"]: row["exit_code"] for row in read_sweep(root)}
        write_sweep(root, trials, codes)
        while len(study.trials) < settings.trials:
            asked = [study.ask(space) for _ in range(min(launcher.processes, settings.trials - len(study.trials)))]
            batch = [compose(found.number, found.params) for found in asked]
            for trial, code in zip(batch, launcher.launch([trial.values for trial in batch]), strict=True):
                codes[trial.folder.name] = code
            for found, trial in zip(asked, batch, strict=True):
                _tell(study, found.number, trial, metric)
            trials += batch
            write_sweep(root, trials, codes)
    done = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    if done:
        print(f"best of {len(done)} runs: {metric} {study.best_value:.6g} in {root / str(study.best_trial.number)}")
    return 0 if done else 1


def _make_distribution(override: Override, configuration: Configuration) -> BaseDistribution:
    key, value = override.get_key_element(), override.value()
    if not isinstance(value, IntervalSweep):
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    section, _, name = key.partition(".")
    kind = configuration.stage.sections.get(section)
    types = kind.find_types() if kind else {}
    whole = (name in types and types[name].base is int) or isinstance(value.start, int)
    low, high, log = value.start, value.end, "log" in value.tags
    assert low is not None
    assert high is not None
    if whole:
        low, high = math.ceil(low), math.floor(high)
    if low > high or (log and low <= 0):
        raise ConfigError(f"{key}: the interval from {low:g} to {high:g} must rise, and be positive with tag log")
    return IntDistribution(int(low), int(high), log=log) if whole else FloatDistribution(low, high, log=log)


def _list_corners(space: dict[str, BaseDistribution]) -> Iterator[dict[str, Any]]:
    """Points of the space at which all values of lists, and both ends of intervals, are tried once."""
    values = {}
    for key, found in space.items():
        if isinstance(found, CategoricalDistribution):
            values[key] = list(found.choices)
        elif isinstance(found, IntDistribution | FloatDistribution):
            values[key] = [found.low, found.high]
    for number in range(max(map(len, values.values()))):
        yield {key: choices[min(number, len(choices) - 1)] for key, choices in values.items()}


def _describe(configuration: Configuration, space: dict[str, BaseDistribution], metric: str) -> dict[str, Any]:
    """What must be the same in all parts of a search, by dotted name."""
    values = flatten({key: value for key, value in configuration.values.items() if key != LAUNCHER})
    fixed = {key: value for key, value in values.items() if key not in (*_MAY_CHANGE, *space)}
    return {**fixed, "metric": metric, **{key: distribution_to_json(found) for key, found in space.items()}}


def _open_study(root: Path, settings: SweepSettings, described: dict[str, Any]) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    root.mkdir(parents=True, exist_ok=True)
    storage = f"sqlite:///{root.absolute() / STUDY_NAME}"
    if not settings.resume:
        study = optuna.create_study(storage=storage, study_name=_NAME, direction=settings.direction)
        study.set_user_attr("described", json.dumps(described))
        write_json({"runs": []}, root / SWEEP_NAME)
    else:
        study = _load_study(root, storage, described)
    # a sampler of the same seed would propose the points of the first part again
    study.sampler = _SAMPLERS[settings.sampler](seed=(settings.seed + len(study.trials)) % 2**32)
    return study


def _load_study(root: Path, storage: str, described: dict[str, Any]) -> optuna.Study:
    if not (root / STUDY_NAME).is_file():
        raise OutputError(f"{root}: contains a sweep without a search; name another folder")
    try:
        study = optuna.load_study(storage=storage, study_name=_NAME)
        before = json.loads(study.user_attrs["described"])
    except (KeyError, ValueError, SQLAlchemyError) as error:
        raise OutputError(f"{root / STUDY_NAME}: is not the database of a search") from error
    for key in sorted({*before, *described}):
        if before.get(key, _ABSENT) != described.get(key, _ABSENT):
            was, now = (values.get(key, _ABSENT) for values in (before, described))
            raise OutputError(f"{root}: its search had {key} = {was}, not {now}; name another folder for this one")
    for trial in study.trials:
        if not trial.state.is_finished():  # what ran when the earlier part was ended
            study.tell(trial.number, state=TrialState.FAIL)
    return study


def _tell(study: optuna.Study, number: int, trial: Trial, metric: str) -> None:
    results = trial.read_results()
    value = results.get(metric)
    if results and not isinstance(value, int | float):
        study.tell(number, state=TrialState.FAIL)
        figures = [key for key, found in results.items() if isinstance(found, int | float)]
        raise ConfigError(f"sweep.metric is {metric!r}; the figures of {trial.folder} are {', '.join(figures)}")
    if isinstance(value, int | float) and math.isfinite(value):
        study.tell(number, float(value))
    else:
        study.tell(number, state=TrialState.FAIL)
