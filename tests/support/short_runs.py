"""Short runs of the solver as the subject of sweeps and repetitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ptycho_torch.config import SimulationSettings
from ptycho_torch.formats.npz import write_scan
from ptycho_torch.run.job import run_values
from ptycho_torch.simulate.scan import simulate_scan

REFINE = ("run.data=scan.npz", "run.device=cpu", "run.quiet=true", "refine.epochs=1", "refine.batches=1")


def write_small_scan(path: Path) -> None:
    """Write a scan of eight patterns of 32 px."""
    write_scan(simulate_scan(SimulationSettings(object_px=64, patch_px=32, path="spiral", step_px=9.2)), path)


@dataclass
class DirectLauncher:
    """Runs in this process, which takes less time than others; it counts the runs."""

    processes: int = 1
    elsewhere: bool = False
    folders: list[str] = field(default_factory=list)

    def require(self) -> None:
        """It can always be used."""

    def launch(self, jobs: Sequence[dict[str, Any]]) -> list[int]:
        self.folders += [Path(job["run"]["output_dir"]).name for job in jobs]
        return [run_values(job) for job in jobs]
