"""Train a network on scans with Lightning."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, Timer
from lightning.pytorch.loggers import CSVLogger, Logger
from numpy.typing import NDArray

from ptycho_torch.config import Experiment
from ptycho_torch.data.scan import Scan
from ptycho_torch.runtime.tracking import make_mlflow_logger
from ptycho_torch.training.build import build_module
from ptycho_torch.training.datamodule import ScanDataModule
from ptycho_torch.training.module import ReconstructionModule

_log = logging.getLogger(__name__)

INDEX_NAME = "index_state.npz"
CHECKPOINT_FOLDER = "checkpoints"
LAST_NAME = "last.ckpt"
BEST_NAME = "best-checkpoint.ckpt"
# what a run on purpose does differently from what Lightning recommends
_EXPECTED_WARNINGS = (
    ".*does not have many workers.*",
    ".*Checkpoint directory.*exists and is not empty.*",
    ".*isinstance.treespec, LeafSpec.*",
    ".*The dirpath has changed.*",
)


@dataclass(frozen=True)
class TrainingResult:
    """What a training run left behind.

    Attributes:
        last: checkpoint after the last step.
        best: checkpoint of the lowest validation loss; the last where no epoch was finished.
        index: which patterns were grouped.
        steps: optimiser steps taken.
        seconds: wall time of the steps.
        patterns_per_second: training patterns seen in that time.
        validation_loss: the last one; None where no epoch was finished.
        out_of_time: the wall clock ended the run before its last step.
    """

    last: Path
    best: Path
    index: Path
    steps: int
    seconds: float
    patterns_per_second: float
    validation_loss: float | None
    out_of_time: bool


def fit(
    scans: Sequence[Scan],
    probes: Sequence[NDArray[np.complex64]],
    experiment: Experiment,
    output_dir: Path,
    *,
    device: torch.device,
    resume: Path | None = None,
    track: bool = True,
    bar: bool = False,
) -> TrainingResult:
    """Train and write checkpoints, the index state and the log of losses under a folder.

    Args:
        scans: scans with patterns of one size.
        probes: (mode, h, w) probe of each, in √photons.
        experiment: all settings.
        output_dir: gets `checkpoints/`, `index_state.npz` and `logs/metrics.csv` (`logs-2/` when resumed, and so on).
        device: where to compute.
        resume: checkpoint to go on from.
        track: log to MLflow as well, where the environment names a place.
        bar: show a progress bar.

    Raises:
        ConfigError: the network does not fit the patterns.
        DivergenceError: the loss is not finite any more.
    """
    settings = experiment.training
    data = ScanDataModule(scans, settings)
    photons, good = [scan.sample_photons_per_pattern for scan in scans], [scan.good_pixels for scan in scans]
    module: ReconstructionModule = build_module(
        experiment, probes, photons, good, data.main_steps, backgrounds=[scan.background for scan in scans]
    )
    index, folder = output_dir / INDEX_NAME, output_dir / CHECKPOINT_FOLDER
    data.write_index(index)
    trainer = build_trainer(data, experiment, output_dir, device=device, track=track, bar=bar)
    run(trainer, module, data, folder, resume=resume)
    stopwatch = next(callback for callback in trainer.callbacks if isinstance(callback, Stopwatch))  # type: ignore[attr-defined]
    loss = trainer.callback_metrics.get("val_loss")
    best = getattr(trainer.checkpoint_callback, "best_model_path", "")
    return TrainingResult(
        last=folder / LAST_NAME,
        best=folder / Path(best or LAST_NAME).name,
        index=index,
        steps=trainer.global_step,
        seconds=stopwatch.seconds,
        patterns_per_second=stopwatch.batches * settings.batch_size * data.group_size / max(stopwatch.seconds, 1e-9),
        validation_loss=None if loss is None else float(loss),
        out_of_time=_out_of_time(trainer.global_step, data.total_steps, settings.max_minutes),
    )


def build_trainer(
    data: ScanDataModule,
    experiment: Experiment,
    output_dir: Path,
    *,
    device: torch.device,
    track: bool,
    bar: bool,
) -> lightning.Trainer:
    """The trainer of a run, ready to fit: one device, checkpoints and losses under a folder."""
    settings = experiment.training
    keeper = ModelCheckpoint(
        output_dir / CHECKPOINT_FOLDER,
        filename=Path(BEST_NAME).stem,
        monitor="val_loss",
        save_last=True,
        enable_version_counter=False,
    )
    callbacks: list[Callback] = [Stopwatch(), keeper]
    if settings.max_minutes:
        callbacks.append(Timer(timedelta(minutes=settings.max_minutes), verbose=False))
    return lightning.Trainer(
        default_root_dir=output_dir,
        # one process on one device, also inside of a job that a scheduler gave several tasks
        plugins=[LightningEnvironment()],
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=[device.index or 0] if device.type == "cuda" else 1,
        max_steps=data.total_steps,
        # by batches, not by epochs: a run shorter than an epoch is judged at its end all the same
        val_check_interval=min(data.batches_per_epoch, data.total_steps * settings.accumulate),
        check_val_every_n_epoch=None,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.gradient_clip,
        callbacks=callbacks,
        logger=_loggers(output_dir, track=track),
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=bar,
    )


def run(
    trainer: lightning.Trainer,
    module: lightning.LightningModule,
    data: ScanDataModule,
    folder: Path,
    *,
    resume: Path | None = None,
) -> None:
    """Fit, and leave the state after the last step as the last checkpoint of the folder.

    Raises:
        DivergenceError: the loss is not finite any more.
    """
    with warnings.catch_warnings():
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        trainer.fit(module, data, ckpt_path=resume, weights_only=True)
    trainer.save_checkpoint(folder / LAST_NAME, weights_only=False)


class Stopwatch(Callback):
    """Time and batches from the first step of a run to its last.

    Attributes:
        seconds: wall time, validation included.
        batches: training batches, those before a resumed run left out.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.batches = 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start."""
        self._started = time.perf_counter()

    def on_train_batch_end(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Lightning's own signature
        """Count."""
        self.batches += 1

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop."""
        self.seconds = time.perf_counter() - self._started


def _out_of_time(steps: int, total_steps: int, max_minutes: float | None) -> bool:
    if steps >= total_steps or max_minutes is None:
        return False
    _log.warning(
        "the wall clock stopped training after %g min at step %d of %d; raise max_minutes or lower the steps",
        max_minutes,
        steps,
        total_steps,
    )
    return True


def _loggers(output_dir: Path, *, track: bool) -> list[Logger]:
    # a resumed run gets a folder of its own: the logger would delete what an earlier part of the run wrote
    earlier = sum(1 for path in output_dir.glob("logs*") if path.is_dir())
    version = f"logs-{earlier + 1}" if earlier else "logs"
    loggers: list[Logger] = [CSVLogger(output_dir, name="", version=version)]
    tracker = make_mlflow_logger("ptycho_torch") if track else None
    return [*loggers, tracker] if tracker else loggers
