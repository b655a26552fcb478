"""Checkpoints during a training: written completely or not at all, at intervals, and when it is ended."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback

from ptycho_torch.config import TrainerSettings
from ptycho_torch.errors import DivergenceError
from ptycho_torch.models.record import LAST_NAME
from ptycho_torch.runtime.interrupts import Interrupts
from ptycho_torch.runtime.ranks import Ranks
from ptycho_torch.storage.writing import sync_folder, write_atomically

# the one before the last, should that be damaged on the disk
PREVIOUS_NAME = "previous.ckpt"


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint under a temporary name, forces it to the disk, then renames it; keeps the one before it.

    Its parts carry checksums, which `ptycho_torch.models.record.check_checkpoint` compares.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Path | str, storage_options: object = None) -> None:
        """Write a checkpoint.

        Raises:
            OutputError: it cannot be written; an earlier checkpoint of that name is unchanged.
        """
        path = Path(path)
        with write_atomically(path) as file:
            torch.save(checkpoint, file)
            if path.name == LAST_NAME:
                _keep(path)


def _keep(path: Path) -> None:
    """Give the checkpoint that is about to be replaced a second name."""
    link = path.with_name(f".{PREVIOUS_NAME}.part")
    # a file system without links keeps one checkpoint less
    with contextlib.suppress(OSError):
        link.unlink(missing_ok=True)
        os.link(path, link)
        link.replace(path.with_name(PREVIOUS_NAME))
        sync_folder(path.parent)


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


class EndCheckpoint(Callback):
    """Answers the first SIGINT or SIGTERM, and writes the last checkpoint when a training ends before its last step.

    Args:
        path: the checkpoint.
        ranks: the place of this process; all of several end after the same step.

    Attributes:
        has_started: whether the state of an earlier training was restored, and steps are taken.
    """

    def __init__(self, path: Path, ranks: Ranks) -> None:
        self._path, self._ranks = path, ranks
        self._interrupts, self._caught = Interrupts(), contextlib.ExitStack()
        self._saved_step = 0
        self.has_started = False

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take note of signals from here on, in place of Lightning."""
        self.has_started = True
        self._step = self._saved_step = trainer.global_step
        self._caught.enter_context(self._interrupts.catch(self._ranks))

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: object, **__: object
    ) -> None:
        """End the training after an optimiser step if a signal asked for it.

        Raises:
            StoppedError: it did.
        """
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        received = trainer.strategy.reduce_boolean_decision(bool(self._interrupts.received), all=False)
        if received:
            signal_name = max(self._ranks.gather(self._interrupts.received))
            trainer.save_checkpoint(self._path, weights_only=False)
            raise StoppedError(signal_name)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Save what was trained before an error, if the state is that between two steps."""
        self._caught.close()
        is_known = self._ranks.size == 1 and not isinstance(exception, (DivergenceError, StoppedError))
        between = trainer.training and trainer.accumulate_grad_batches == 1
        if is_known and between and trainer.global_step > self._saved_step:
            # the error that ends the training is the one to report
            with contextlib.suppress(Exception):
                trainer.save_checkpoint(self._path, weights_only=False)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Leave signals alone again."""
        self._caught.close()


class StoppedError(Exception):
    """Ends Lightning's loop after a step, as an error does; its argument is the name of the signal."""
