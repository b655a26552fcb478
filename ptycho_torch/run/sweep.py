"""Several runs of one stage: every combination of the values that overrides list."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from ptycho_torch.cli.command import RUN
from ptycho_torch.errors import ConfigError, OutputError
from ptycho_torch.run.compose import Composer, Configuration, parse_overrides
from ptycho_torch.runtime.run_record import read_results
from ptycho_torch.storage.locking import lock_folder
from ptycho_torch.storage.writing import check_writable, write_json

SWEEP_NAME = "sweep.json"
_MOST_RUNS = 100_000

# called with configurations as plain values; returns the exit code of each
Launch = Callable[[Sequence[dict[str, Any]]], list[int]]


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
        folder: the folder of its results.
        overrides: what distinguishes it, by key.
        values: its resolved configuration.
    """

    folder: Path
    overrides: dict[str, str]
    values: dict[str, Any]

    def read_results(self) -> dict[str, Any]:
        """The results in its run record; empty if it has not finished."""
        return flatten(read_results(self.folder)) if self.folder.is_dir() else {}


def flatten(values: Any, place: str = "") -> dict[str, Any]:  # noqa: ANN401 - JSON
    """The leaves of nested mappings by dotted name."""
    if not isinstance(values, dict):
        return {place: values}
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        leaves |= flatten(value, f"{place}.{key}" if place else str(key))
    return leaves


def expand(overrides: Sequence[str]) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Expand overrides that list values into every combination, with what distinguishes it by key.

    Raises:
        ConfigError: an override cannot be expanded, or there are too many combinations.
    """
    parts: list[list[tuple[str, str | None, str]]] = []
    for override in parse_overrides(overrides):
        key, text = override.get_key_element(), override.input_line or ""
        if override.is_sweep_override():
            parts.append([(f"{key}={value}", key, value) for value in _list_values(override, text)])
        else:
            parts.append([(text, None, "")])
    count = math.prod(map(len, parts))
    if count > _MOST_RUNS:
        raise ConfigError(f"the overrides have {count} combinations; at most {_MOST_RUNS} can be run")
    for chosen in itertools.product(*parts):
        yield [text for text, _, _ in chosen], {key: value for _, key, value in chosen if key is not None}


def _list_values(override: Override, text: str) -> list[str]:
    if not override.is_discrete_sweep():
        raise ConfigError(f"{text!r} has no list of values; sweep.sampler=tpe or random draws from intervals")
    return list(override.sweep_string_iterator())


def make_trials(composer: Composer, overrides: Sequence[str]) -> list[Trial]:
    """Compose and check the configuration of every run before the first one starts.

    Raises:
        ConfigError: one of them is unusable; the message names it.
    """
    trials = []
    for number, (words, distinct) in enumerate(expand(overrides)):
        trials.append(make_trial(composer, words, distinct, number))
    return trials


def make_trial(composer: Composer, words: Sequence[str], distinct: dict[str, str], number: int) -> Trial:
    """Compose and check the configuration of one run, whose results go to a numbered folder.

    Raises:
        ConfigError: it is unusable.
    """
    try:
        configuration = composer.resolve(words)
    except ConfigError as error:
        label = " ".join(f"{key}={value}" for key, value in distinct.items())
        raise ConfigError(f"{label}: {error}" if label else str(error)) from error
    return Trial(find_root(configuration) / str(number), distinct, place(configuration, number))


def find_root(configuration: Configuration) -> Path:
    """The folder of a sweep: the output folder of its configuration.

    Raises:
        ConfigError: the stage writes no folder.
    """
    if "output_dir" not in configuration.options:
        raise ConfigError(f"{configuration.stage.name} writes no folder of results; it cannot be swept")
    return Path(configuration.options["output_dir"])


def place(configuration: Configuration, number: int) -> dict[str, Any]:
    """The values of a configuration with the numbered folder of a sweep as its output folder.

    A resumed sweep replaces what runs that have not finished have left there.
    """
    folder = find_root(configuration) / str(number)
    run = {**configuration.values[RUN], "output_dir": str(folder), "overwrite": configuration.sweep.resume}
    return {**configuration.values, RUN: run}


def check_root(root: Path, *, resume: bool) -> None:
    """Check that a sweep can write to a folder.

    Raises:
        OutputError: it is in use, or contains no sweep to resume, or cannot be written.
    """
    if resume:
        if not (root / SWEEP_NAME).is_file():
            raise OutputError(f"{root}: contains no {SWEEP_NAME}, so there is no sweep to resume")
    elif root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise OutputError(f"{root}: is not empty; name another folder, or go on with a sweep by sweep.resume=true")
    check_writable(root)


def run_grid(trials: Sequence[Trial], root: Path, launch: Launch, *, resume: bool) -> int:
    """Run all trials, those that have finished left out, and write a table of them; returns the highest exit code.

    Raises:
        OutputError: the folder is in use, or contains another sweep.
    """
    check_root(root, resume=resume)
    codes: dict[str, int | None] = {}
    with lock_folder(root):
        if resume:
            rows = read_sweep(root)
            codes = {row["folder"]: row["exit_code"] for row in rows}
            stored = [row["overrides"] for row in rows]
            if stored != [trial.overrides for trial in trials]:
                raise OutputError(f"{root}: contains a sweep over other values; name another folder for this one")
        write_sweep(root, trials, codes)
        waiting = [trial for trial in trials if not trial.read_results()]
        found = launch([trial.values for trial in waiting])
        codes |= {trial.folder.name: code for trial, code in zip(waiting, found, strict=True)}
        write_sweep(root, trials, codes)
    return max((code for code in codes.values() if code is not None), default=0)


def read_sweep(root: Path) -> list[dict[str, Any]]:
    """The rows of a sweep's table.

    Raises:
        OutputError: it is damaged.
    """
    path = root / SWEEP_NAME
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["runs"]
        return [
            {"folder": str(row["folder"]), "overrides": dict(row["overrides"]), "exit_code": row["exit_code"]}
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{path}: is not the table of a sweep; name another folder") from error


def write_sweep(root: Path, trials: Sequence[Trial], codes: Mapping[str, int | None]) -> None:
    """Write the table of a sweep: folder, overrides, exit code and results of each run."""
    rows = [
        {
            "folder": trial.folder.name,
            "overrides": trial.overrides,
            "exit_code": codes.get(trial.folder.name),
            "results": trial.read_results(),
        }
        for trial in trials
    ]
    write_json({"runs": rows}, root / SWEEP_NAME)


def print_sweep(root: Path) -> None:
    """Print where the runs of a sweep are and what distinguishes them."""
    for row in read_sweep(root):
        print(f"{root / row['folder']}: {' '.join(f'{key}={value}' for key, value in row['overrides'].items())}")
    print(f"table: {root / SWEEP_NAME}")
