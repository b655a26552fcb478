"""Plan: a training that has not started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ptycho_torch.config import Experiment


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A training that has not started: its settings, its files, and where it will run.

    Attributes:
        experiment: all settings.
        data: file or folder of the scans.
        output_dir: folder of the results.
        probe: file or folder of probes that replace those of the scans.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        overwrite: whether results in the folder may be replaced.
        resume: whether the run in the folder is resumed.
        mlflow: whether MLflow may be used.
        elsewhere: whether the training runs on another machine, whose devices and files cannot be seen from here.
        name: what distinguishes it from others, for the report.
    """

    experiment: Experiment
    data: Path
    output_dir: Path
    probe: Path | None = None
    device: str = "auto"
    overwrite: bool = False
    resume: bool = False
    mlflow: bool = True
    elsewhere: bool = False
    name: str = "training"
