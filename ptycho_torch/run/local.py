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

    @property
    def elsewhere(self) -> bool:
        """Whether the runs take place on other machines."""
        return False

    def require(self) -> None:
        """Check that runs can be launched from here, as they always can."""

    def launch(self, jobs: Sequence[dict[str, Any]]) -> list[int]:
        """Run configurations, given as plain values, and return their exit codes; standard error names each run."""

        def run(number: int) -> int:
            place = jobs[number].get("run", {}).get("output_dir", "")
            # in one piece: other processes write lines as well
            sys.stderr.write(f"run {number + 1} of {len(jobs)}: {place}\n")
            sys.stderr.flush()
            command = [sys.executable, "-m", f"{__package__}.job"]
            return subprocess.run(command, input=json.dumps(jobs[number]), text=True, check=False).returncode

        with ThreadPoolExecutor(self.processes) as pool:
            return list(pool.map(run, range(len(jobs))))
