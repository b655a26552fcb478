"""Train a network on scans with Lightning."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, Timer
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.strategies import DDPStrategy, Strategy
from numpy.typing import NDArray

from ptycho_torch.config import Experiment, TrainerSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.models.record import LAST_NAME
from ptycho_torch.runtime.environments import LightningEnvironment
from ptycho_torch.runtime.ranks import ALONE, TIMEOUT, Ranks, explain_loss
from ptycho_torch.runtime.trackers import choose_trackers
from ptycho_torch.runtime.tracking import make_trackers
from ptycho_torch.storage.writing import write_atomically
from ptycho_torch.training.build import build_module
from ptycho_torch.training.checkpointing import (
    AtomicCheckpoints,
    EndCheckpoint,
    IntervalCheckpoint,
)
from ptycho_torch.training.datamodule import ScanDataModule
from ptycho_torch.training.loop import run
from ptycho_torch.training.memory import checkpoint_activations, find_batch_size
from ptycho_torch.training.module import ReconstructionModule
from ptycho_torch.training.overfitting import OverfittingWatch
from ptycho_torch.training.pictures import PictureWriter, choose_interval
from ptycho_torch.training.resuming import check_training_state

_log = logging.getLogger(__name__)

INDEX_NAME = "index_state.npz"
CHECKPOINT_FOLDER = "checkpoints"
BEST_NAME = "best-checkpoint.ckpt"
_LAYER_TYPES = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
# of the steps of a training, without a better validation before it ends
_SHARE_WITHOUT_GAIN = 0.1


@dataclass(frozen=True)
class TrainingResult:
    """The files and figures of a training run.

    Attributes:
        last: checkpoint after the last step; the best one if training stopped because it fitted noise.
        best: checkpoint with the lowest validation loss; the last one if no epoch was completed.
        index: file with the groups of patterns.
        steps: optimiser steps taken.
        seconds: wall time of the steps.
        patterns_per_second: training patterns per second of that time.
        validation_loss: the last one; None if no epoch was completed.
        out_of_time: whether `max_minutes` ended the run before its last step.
        overfitted: whether validation ended it, as patterns that it does not see were predicted worse and worse.
    """

    last: Path
    best: Path
    index: Path
    steps: int
    seconds: float
    patterns_per_second: float
    validation_loss: float | None
    out_of_time: bool
    overfitted: bool


def fit(
    scans: Sequence[Scan],
    probes: Sequence[NDArray[np.complex64]],
    experiment: Experiment,
    output_dir: Path,
    *,
    device: torch.device,
    ranks: Ranks = ALONE,
    resume: Path | None = None,
    track: bool = True,
    bar: bool = False,
) -> TrainingResult:
    """Train and write checkpoints, the index state and the log of losses under a folder; only the first process writes.

    Args:
        scans: scans with patterns of one size.
        probes: (mode, h, w) probe of each, in √photons.
        experiment: all settings.
        output_dir: gets `checkpoints/`, `index_state.npz` and `logs/metrics.csv` (`logs-2/` when resumed, and so on).
        device: where to compute.
        ranks: the place of this process, which is connected with the others already.
        resume: checkpoint to resume from.
        track: whether MLflow may be used; the environment can ask for it as well as the settings.
        bar: whether to show a progress bar.

    Raises:
        ConfigError: the network does not fit the patterns.
        DivergenceError: the loss became non-finite.
        RankError: another process was lost.
        CheckpointError: the checkpoint does not contain the state of this training.
        Interrupted: a signal ended the training after a step, whose state is in the last checkpoint.
    """
    if resume is not None:
        # a batch size that was searched for is part of the settings by now
        experiment = replace(experiment, trainer=replace(experiment.trainer, find_batch_size=False))
    data, module = prepare(scans, probes, experiment, device, ranks)
    data.warn_small()
    # the batch size may have been searched for
    experiment = replace(experiment, training=data.settings)
    index, folder = output_dir / INDEX_NAME, output_dir / CHECKPOINT_FOLDER
    if ranks.is_first:
        data.write_index(index)
    trainer = build_trainer(data, experiment, output_dir, device=device, track=track, bar=bar, ranks=ranks)
    for logger in trainer.loggers[1:]:
        logger.log_hyperparams(experiment.to_dict())
    if resume is not None:
        check_training_state(resume, module.generator, len(data.val_dataloader()))
    with explain_loss(ranks):
        run(trainer, module, data, folder, resume=resume)
    stopwatch = next(callback for callback in trainer.callbacks if isinstance(callback, _Stopwatch))  # type: ignore[attr-defined]
    loss = trainer.callback_metrics.get("val_loss")
    overfitted = any(isinstance(each, OverfittingWatch) and each.stopped for each in trainer.callbacks)  # type: ignore[attr-defined]
    best = folder / Path(getattr(trainer.checkpoint_callback, "best_model_path", "") or LAST_NAME).name
    if overfitted and ranks.is_first:
        with write_atomically(folder / LAST_NAME) as file:
            file.write(best.read_bytes())
    return TrainingResult(
        last=folder / LAST_NAME,
        best=best,
        index=index,
        steps=trainer.global_step,
        seconds=stopwatch.seconds,
        patterns_per_second=stopwatch.batches * data.batch_size * data.group_size / max(stopwatch.seconds, 1e-9),
        validation_loss=None if loss is None else float(loss),
        out_of_time=not overfitted
        and _warn_out_of_time(trainer.global_step, data.total_steps, data.settings.max_minutes),
        overfitted=overfitted,
    )


def prepare(
    scans: Sequence[Scan],
    probes: Sequence[NDArray[np.complex64]],
    experiment: Experiment,
    device: torch.device,
    ranks: Ranks = ALONE,
) -> tuple[ScanDataModule, ReconstructionModule]:
    """Make groups and module as the settings of training and trainer say; see `fit` for the arguments."""
    data, module = _build(scans, probes, experiment, ranks)
    if experiment.trainer.find_batch_size:
        size = find_batch_size(module, data, device, _LAYER_TYPES[experiment.trainer.precision], ranks)
        _log.info("batches of %d groups", size)
        # the schedule of the learning rate depends on the number of batches
        experiment = replace(experiment, training=replace(experiment.training, batch_size=size))
        data, module = _build(scans, probes, experiment, ranks)
    if experiment.trainer.compile:
        for network in module.generator.networks:
            network.compile()
    return data, module


def _build(
    scans: Sequence[Scan], probes: Sequence[NDArray[np.complex64]], experiment: Experiment, ranks: Ranks
) -> tuple[ScanDataModule, ReconstructionModule]:
    data = ScanDataModule(scans, experiment.training, experiment.trainer.workers, ranks)
    photons, good = [scan.sample_photons_per_pattern for scan in scans], [scan.good_pixels for scan in scans]
    backgrounds = [scan.background for scan in scans]
    module: ReconstructionModule = build_module(
        experiment, probes, photons, good, data.main_steps, backgrounds=backgrounds
    )
    if experiment.trainer.gradient_checkpointing:
        for network in module.generator.networks:
            checkpoint_activations(network)
    return data, module


def build_trainer(
    data: ScanDataModule,
    experiment: Experiment,
    output_dir: Path,
    *,
    device: torch.device,
    track: bool,
    bar: bool,
    ranks: Ranks = ALONE,
) -> lightning.Trainer:
    """Build the trainer of a run, which writes checkpoints and losses under a folder; see `fit` for the arguments."""
    settings, chosen = experiment.training, experiment.trainer
    keeper = ModelCheckpoint(
        output_dir / CHECKPOINT_FOLDER,
        filename=Path(BEST_NAME).stem,
        monitor="val_loss",
        save_last=True,
        enable_version_counter=False,
    )
    callbacks: list[Callback] = [_Stopwatch(), keeper]
    if settings.target != "object":  # true objects contain no noise
        callbacks.append(OverfittingWatch(settings.patience, round(_SHARE_WITHOUT_GAIN * data.total_steps)))
    every_epochs = choose_interval(experiment.tracking, data.total_steps / data.steps_per_epoch)
    if every_epochs:
        callbacks.append(PictureWriter(data.scans[0], every_epochs, output_dir))
    if chosen.checkpoint_steps or chosen.checkpoint_minutes:
        callbacks.append(IntervalCheckpoint(output_dir / CHECKPOINT_FOLDER / LAST_NAME, chosen))
    if settings.max_minutes:
        callbacks.append(Timer(timedelta(minutes=settings.max_minutes), verbose=False))
    callbacks.append(EndCheckpoint(output_dir / CHECKPOINT_FOLDER / LAST_NAME, ranks))
    return lightning.Trainer(
        default_root_dir=output_dir,
        # a process that works alone is no part of the job that it may run in
        plugins=[ranks.environment or LightningEnvironment(), AtomicCheckpoints()],
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=[device.index or 0] if device.type == "cuda" and ranks.size == 1 else ranks.devices,
        num_nodes=ranks.nodes,
        strategy=_make_strategy(chosen, ranks),
        precision=chosen.precision,
        sync_batchnorm=ranks.size > 1,
        # the batches are divided already
        use_distributed_sampler=False,
        max_steps=data.total_steps,
        # by batches, not by epochs, so that a run shorter than an epoch is validated at its end
        val_check_interval=min(data.batches_per_epoch, data.total_steps * settings.accumulate),
        check_val_every_n_epoch=None,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.gradient_clip,
        callbacks=callbacks,
        logger=_make_loggers(output_dir, experiment, track=track),
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=bar,
    )


def _make_strategy(settings: TrainerSettings, ranks: Ranks) -> Strategy | str:
    if ranks.size == 1 and settings.strategy == "auto":
        return "auto"
    # buffers are the same everywhere: they belong to the scans, or are synchronised with every batch
    return DDPStrategy(forward_sync_buffers=False, gradient_as_bucket_view=True, timeout=TIMEOUT)


class _Stopwatch(Callback):
    """Wall time (seconds, validation included) and training batches of a run, without those before it was resumed."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.batches = 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._started = time.perf_counter()

    def on_train_batch_end(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Lightning's own signature
        self.batches += 1

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.seconds = time.perf_counter() - self._started


def _warn_out_of_time(steps: int, total_steps: int, max_minutes: float | None) -> bool:
    if steps >= total_steps or max_minutes is None:
        return False
    _log.warning(
        "training stopped after max_minutes = %g at step %d of %d; raise max_minutes or lower steps or epochs",
        max_minutes,
        steps,
        total_steps,
    )
    return True


def _make_loggers(output_dir: Path, experiment: Experiment, *, track: bool) -> list[Logger]:
    # a resumed run gets its own folder, since the logger deletes the files of an earlier run
    earlier = sum(1 for path in output_dir.glob("logs*") if path.is_dir())
    version = f"logs-{earlier + 1}" if earlier else "logs"
    loggers: list[Logger] = [CSVLogger(output_dir, name="", version=version)]
    names = choose_trackers(experiment.tracking, mlflow=track)
    return [*loggers, *make_trackers(names, output_dir, experiment.tracking)]
