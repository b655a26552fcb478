"""Training ends when it predicts patterns that it does not see worse and worse, as the solver does by pixels."""

from __future__ import annotations

import logging
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from ptycho_torch.solve.watch import is_significantly_worse

_log = logging.getLogger(__name__)

# relative; a loss that has settled varies by less
_LEAST_RISE = 0.01


class OverfittingWatch(Callback):
    """Stops a training after validations in a row, with a loss that exceeds the least one by more than chance.

    The losses of the same batches are compared in pairs, so that an unlucky batch does not end a training. One that
    only stands still goes on: its last epochs, with small steps, improve it.

    Args:
        patience: number of such validations.
        least_steps: number of optimiser steps since the least loss, without which a rise may belong to the beginning.

    Attributes:
        stopped: whether it ended the training.
    """

    def __init__(self, patience: int, least_steps: int) -> None:
        self.stopped = False
        self._patience, self._least_steps = patience, least_steps
        self._step = 0
        self._losses: list[Tensor] = []
        self._least: Tensor | None = None
        self._rises = 0

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Forget the losses of the last validation."""
        self._losses = []

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,  # noqa: ANN401 - Lightning's own signature
        *_: object,
        **__: object,
    ) -> None:
        """Keep the loss of a batch."""
        self._losses.append(outputs.detach().double())

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Compare the losses with the least ones."""
        losses = trainer.strategy.reduce(torch.stack(self._losses), reduce_op="mean").cpu()
        if self._least is None or losses.sum() < self._least.sum():
            self._least, self._rises, self._step = losses, 0, trainer.global_step
        elif losses.sum() > (1 + _LEAST_RISE) * self._least.sum() and is_significantly_worse(losses, self._least):
            self._rises += 1
        else:
            self._rises = 0
        is_long = trainer.global_step - self._step >= self._least_steps
        if self._rises >= self._patience and is_long and not trainer.should_stop:
            trainer.should_stop = self.stopped = True
            _log.warning(
                "training stopped at step %d, as it predicts patterns that it does not see worse and worse; the best "
                "checkpoint is kept as the last one; more patterns or fewer epochs prevent this",
                trainer.global_step,
            )

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training goes on with."""
        return {"least": self._least, "rises": self._rises, "step": self._step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where a checkpoint ended."""
        self._least, self._rises, self._step = state_dict["least"], state_dict["rises"], state_dict["step"]
