"""Where runs take place: in this process, or through the launcher of the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from ptycho_torch.cli import experiment, pretrain, train
from ptycho_torch.run.allowed import build
from ptycho_torch.run.compose import Configuration
from ptycho_torch.run.job import run_configuration
from ptycho_torch.run.local import LocalLauncher
from ptycho_torch.run.nodes import LAUNCHER

if TYPE_CHECKING:
    from ptycho_torch.preflight import Plan

# the commands that train a network
_TRAINING = (train, pretrain, experiment)


class Launcher(Protocol):
    """Runs configurations somewhere."""

    @property
    def elsewhere(self) -> bool:
        """Whether they run on other machines."""

    @property
    def processes(self) -> int:
        """How many of them it runs at the same time."""

    def require(self) -> None:
        """Check that it can be used from here; raises MissingExtraError or ConfigError if it cannot."""

    def launch(self, jobs: Sequence[dict[str, Any]]) -> list[int]:
        """Run configurations, given as plain values, and return their exit codes."""


def make_launcher(configuration: Configuration) -> Launcher:
    """Make the launcher that a configuration names.

    Raises:
        ConfigError: one of its settings is unusable.
    """
    launcher: Launcher = build(configuration.values[LAUNCHER], LAUNCHER)
    return launcher


def run_one(configuration: Configuration) -> int:
    """Run one configuration, on this machine in this process unless another launcher is named; returns the exit code.

    Raises:
        MissingExtraError: the launcher is not installed.
        ConfigError: the launcher cannot be used here, or the configuration cannot work elsewhere.
    """
    launcher = make_launcher(configuration)
    if isinstance(launcher, LocalLauncher):
        return run_configuration(configuration)
    launcher.require()
    check_trainings([configuration.values], launcher)
    return max(launcher.launch([configuration.values]))


def check_trainings(jobs: Sequence[dict[str, Any]], launcher: Launcher) -> None:
    """Check trainings before the first one is launched; stages that do not train are checked when they run.

    Args:
        jobs: configurations of one stage, as plain values.
        launcher: where they will run.

    Raises:
        ConfigError: one of them cannot work; the message names its folder, the key and the reason.
    """
    configurations = [Configuration(values) for values in jobs]
    checked = [one for one in configurations if one.stage.module in _TRAINING and not one.options["no_preflight"]]
    if not checked:
        return
    from ptycho_torch.preflight import check_all, require_passed

    plans = [_make_plan(one, elsewhere=launcher.elsewhere) for one in checked]
    require_passed(check_all([plan for plan in plans if plan is not None]))


def _make_plan(configuration: Configuration, *, elsewhere: bool) -> Plan | None:
    settings = {name: section.to_dict() for name, section in configuration.sections.items()}
    arguments = configuration.stage.make_namespace(configuration.options, settings)
    plan: Plan | None = configuration.stage.module.make_plan(arguments, elsewhere=elsewhere)
    return plan and replace(plan, name=str(arguments.output_dir))
