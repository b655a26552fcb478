"""Checkpoints during a training: written completely or not at all, and at intervals."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback

from ptycho_torch.config import TrainerSettings
from ptycho_torch.storage.writing import write_atomically


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint under a temporary name, forces it to the disk, then renames it."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Path | str, storage_options: object = None) -> None:
        """Write a checkpoint.

        Raises:
            OutputError: it cannot be written; an earlier checkpoint of that name is unchanged.
        """
        with write_atomically(Path(path)) as file:
            torch.save(checkpoint, file)


class IntervalCheckpoint(Callback):
    """Writes the last checkpoint every so many optimiser steps or minutes.

    Only just after an optimiser step, so that no gradient that is being accumulated is lost.

    Args:
        path: the checkpoint.
        settings: number of steps, or minutes, or both.
    """

    def __init__(self, path: Path, settings: TrainerSettings) -> None:
        self._path = path
        self._steps, self._minutes = settings.checkpoint_steps, settings.checkpoint_minutes

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock."""
        self._written = time.monotonic()
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: object, **__: object
    ) -> None:
        """Write a checkpoint if one is due."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        due = self._steps is not None and self._step % self._steps == 0
        if self._minutes is not None and not due:
            # clocks differ: the first process decides for all
            due = trainer.strategy.broadcast(time.monotonic() - self._written >= 60 * self._minutes)
        if due:
            trainer.save_checkpoint(self._path, weights_only=False)
            self._written = time.monotonic()
