"""Train a network on scans with Lightning."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, Timer
from lightning.pytorch.loggers import CSVLogger, Logger
from numpy.typing import NDArray

from ptycho_torch.config import Experiment
from ptycho_torch.data.datamodule import ScanDataModule
from ptycho_torch.data.scan import Scan
from ptycho_torch.training.build import build_module
from ptycho_torch.training.tracking import mlflow_logger

_log = logging.getLogger(__name__)

INDEX_NAME = "index_state.npz"
LAST_NAME = "last.ckpt"
BEST_NAME = "best-checkpoint.ckpt"
# what a run on purpose does differently from what Lightning recommends
_EXPECTED_WARNINGS = (
    ".*does not have many workers.*",
    ".*Checkpoint directory.*exists and is not empty.*",
    ".*isinstance.treespec, LeafSpec.*",
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
        output_dir: gets `checkpoints/`, `index_state.npz` and `logs/metrics.csv`.
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
    total_steps = settings.steps or settings.epochs * data.steps_per_epoch
    photons, good = [scan.photons_per_pattern for scan in scans], [scan.good_pixels for scan in scans]
    module = build_module(experiment, probes, photons, good, total_steps)
    index = output_dir / INDEX_NAME
    data.write_index(index)
    folder = output_dir / "checkpoints"
    timer = Timer(timedelta(minutes=settings.max_minutes) if settings.max_minutes else None, verbose=False)
    keeper = ModelCheckpoint(
        folder,
        filename=Path(BEST_NAME).stem,
        monitor="val_loss",
        save_last=True,
        enable_version_counter=False,
    )
    trainer = _trainer(total_steps, data.steps_per_epoch, experiment, device, [timer, keeper], _loggers(output_dir, track=track), bar=bar)
    started, first_step = time.perf_counter(), 0
    with warnings.catch_warnings():
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        trainer.fit(module, data, ckpt_path=resume, weights_only=True)
    seconds = time.perf_counter() - started
    last = folder / LAST_NAME
    trainer.save_checkpoint(last, weights_only=False)
    out_of_time = trainer.global_step < total_steps
    if out_of_time:
        _log.warning(
            "the wall clock stopped training after %g min at step %d of %d; raise max_minutes or lower the steps",
            settings.max_minutes,
            trainer.global_step,
            total_steps,
        )
    best = Path(keeper.best_model_path) if keeper.best_model_path else last
    loss = trainer.callback_metrics.get("val_loss")
    size = data.training[0].counts.shape[0]
    seen = (trainer.global_step - first_step) * settings.batch_size * size
    return TrainingResult(
        last=last,
        best=best,
        index=index,
        steps=trainer.global_step,
        seconds=seconds,
        patterns_per_second=seen / seconds,
        validation_loss=None if loss is None else float(loss),
        out_of_time=out_of_time,
    )


def _trainer(
    total_steps: int,
    steps_per_epoch: int,
    experiment: Experiment,
    device: torch.device,
    callbacks: list[Callback],
    loggers: list[Logger],
    *,
    bar: bool,
) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=[device.index or 0] if device.type == "cuda" else 1,
        max_steps=total_steps,
        # by steps, not by epochs: a run shorter than an epoch is judged at its end all the same
        val_check_interval=min(steps_per_epoch, total_steps),
        check_val_every_n_epoch=None,
        gradient_clip_val=experiment.training.gradient_clip,
        callbacks=callbacks,
        logger=loggers,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=bar,
    )


def _loggers(output_dir: Path, *, track: bool) -> list[Logger]:
    loggers: list[Logger] = [CSVLogger(output_dir, name="", version="logs")]
    tracker = mlflow_logger("ptycho_torch") if track else None
    return [*loggers, tracker] if tracker else loggers
