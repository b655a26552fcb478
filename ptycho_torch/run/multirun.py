"""`--multirun`: several configurations of a stage, all checked before the first one runs."""

from __future__ import annotations

from collections.abc import Sequence

from ptycho_torch.errors import ConfigError
from ptycho_torch.run.compose import Composer, Configuration, parse_overrides
from ptycho_torch.run.launch import Launcher, check_trainings, make_launcher
from ptycho_torch.run.nodes import LAUNCHER, SWEEP
from ptycho_torch.run.sweep import find_root, make_trials, print_sweep, run_grid


def run_several(composer: Composer, overrides: Sequence[str], launcher: Launcher | None = None) -> int:
    """Run every combination of the values that overrides list, or search among them; returns the exit code.

    Args:
        composer: composes the configurations.
        overrides: those with several values distinguish the runs.
        launcher: where they run; by default where the configuration says.

    Raises:
        MissingExtraError: the launcher is not installed.
        ConfigError: a configuration is unusable, or the launcher cannot be used here.
        OutputError: the output folder is in use.
    """
    configuration = _resolve_unswept(composer, overrides)
    if configuration.options.get("overwrite"):
        raise ConfigError("run.overwrite is true; a sweep replaces no results, name another folder")
    settings, root = configuration.sweep, find_root(configuration)
    launcher = launcher or make_launcher(configuration)
    launcher.require()
    settings.warn_unused()
    if settings.sampler == "grid":
        trials = make_trials(composer, overrides)
        check_trainings([trial.values for trial in trials if not trial.read_results()], launcher)
        code = run_grid(trials, root, launcher.launch, resume=settings.resume)
    else:
        from ptycho_torch.run.study import run_study

        code = run_study(composer, overrides, configuration, launcher)
    print_sweep(root)
    return code


def _resolve_unswept(composer: Composer, overrides: Sequence[str]) -> Configuration:
    """The configuration of what is the same in all runs: how to search, and where to run."""
    fixed = []
    for override in parse_overrides(overrides):
        key = override.get_key_element()
        if not override.is_sweep_override():
            fixed.append(override.input_line or "")
        elif key.split(".")[0] in (SWEEP, LAUNCHER) or key == "run.output_dir":
            raise ConfigError(f"{key} must be the same in all runs of a sweep")
    return composer.resolve(fixed)
