"""Where runs take place: in this process, or through the launcher of the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ptycho_torch.run.allowed import build
from ptycho_torch.run.compose import Configuration
from ptycho_torch.run.job import run_configuration
from ptycho_torch.run.local import LocalLauncher
from ptycho_torch.run.nodes import LAUNCHER


class Launcher(Protocol):
    """Runs configurations somewhere."""

    @property
    def processes(self) -> int:
        """How many of them it runs at the same time."""

    def launch(self, jobs: Sequence[dict[str, Any]]) -> list[int]:
        """Run configurations, given as plain values, and return their exit codes."""


def make_launcher(configuration: Configuration) -> Launcher:
    """Make the launcher that a configuration names.

    Raises:
        ConfigError: it is not installed, or one of its settings is unusable.
    """
    launcher: Launcher = build(configuration.values[LAUNCHER], LAUNCHER)
    return launcher


def run_one(configuration: Configuration) -> int:
    """Run one configuration, on this machine in this process; returns the exit code."""
    launcher = make_launcher(configuration)
    if isinstance(launcher, LocalLauncher):
        return run_configuration(configuration)
    return max(launcher.launch([configuration.values]))
