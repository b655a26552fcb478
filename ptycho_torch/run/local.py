"""Runs on this machine, each in a process of its own, so that one that breaks does not end the others."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ptycho_torch.config.fields import Settings, setting


@dataclass(frozen=True, kw_only=True)
class LocalLauncher(Settings):
    """Runs on this machine."""

    processes: int = setting(1, at_least=1, at_most=1024, help="runs at the same time")

    def launch(self, jobs: Sequence[dict[str, Any]]) -> list[int]:
        """Run configurations, given as plain values, and return their exit codes."""
        with ThreadPoolExecutor(self.processes) as pool:
            return list(pool.map(_run, jobs))


def _run(values: dict[str, Any]) -> int:
    command = [sys.executable, "-m", f"{__package__}.job"]
    return subprocess.run(command, input=json.dumps(values), text=True, check=False).returncode
