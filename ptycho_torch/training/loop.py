"""The loop of a training: Lightning's, with its errors and interruptions as those of this package."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import lightning

from ptycho_torch.errors import CheckpointError, PtychoError
from ptycho_torch.models.record import LAST_NAME
from ptycho_torch.runtime.interrupts import Interrupted
from ptycho_torch.storage.untrusted import summarise_error
from ptycho_torch.training.checkpointing import EndCheckpoint, StoppedError
from ptycho_torch.training.datamodule import ScanDataModule

_log = logging.getLogger(__name__)

# where a run deliberately differs from what Lightning recommends
_EXPECTED_WARNINGS = (
    ".*does not have many workers.*",
    ".*Checkpoint directory.*exists and is not empty.*",
    ".*isinstance.treespec, LeafSpec.*",
    ".*The dirpath has changed.*",
    # the batches after a step are known, whether an epoch is complete or not
    ".*resuming from a checkpoint that ended before the epoch ended.*",
)


def run(
    trainer: lightning.Trainer,
    module: lightning.LightningModule,
    data: ScanDataModule,
    folder: Path,
    *,
    resume: Path | None = None,
) -> None:
    """Fit, and write the state after the last step to the folder.

    Raises:
        DivergenceError: the loss became non-finite.
        CheckpointError: the state in the checkpoint cannot be restored.
        Interrupted: a signal ended the training after a step, whose state is in the folder.
    """
    with warnings.catch_warnings():
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        try:
            trainer.fit(module, data, ckpt_path=resume, weights_only=True)
        except StoppedError as stop:
            _log.warning(
                "training was ended by %s after step %d; --resume goes on from there", stop, trainer.global_step
            )
            raise Interrupted(str(stop)) from None
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            end = next(callback for callback in trainer.callbacks if isinstance(callback, EndCheckpoint))  # type: ignore[attr-defined]
            if resume is None or end.has_started or isinstance(error, PtychoError):
                raise
            reason = summarise_error(error)
            raise CheckpointError(f"{resume}: the state of its training cannot be used ({reason})") from error
    trainer.save_checkpoint(folder / LAST_NAME, weights_only=False)
