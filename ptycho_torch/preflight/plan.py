"""Plan: a training that has not started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import Experiment, SimulationSettings


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A training that has not started: its settings, its files, and where it will run.

    Attributes:
        experiment: all settings.
        output_dir: folder of the results.
        data: file or folder of the scans; None if they are simulated.
        simulation: how they are simulated.
        simulated_probe: (mode, h, w) probe of the simulation, if it is a given one.
        probe: file or folder of probes that replace those of the scans.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        overwrite: whether results in the folder may be replaced.
        resume: whether the run in the folder is resumed.
        mlflow: whether MLflow may be used.
        elsewhere: whether the training runs on another machine, whose devices and files cannot be seen from here.
        name: what distinguishes it from others, for the report.
    """

    experiment: Experiment
    output_dir: Path
    data: Path | None = None
    simulation: SimulationSettings | None = None
    simulated_probe: NDArray[np.complex64] | None = None
    probe: Path | None = None
    device: str = "auto"
    overwrite: bool = False
    resume: bool = False
    mlflow: bool = True
    elsewhere: bool = False
    name: str = "training"
