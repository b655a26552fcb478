"""What a device and the settings of the hardware must have in common, checked before anything is computed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch

from ptycho_torch.config import Experiment
from ptycho_torch.errors import ConfigError
from ptycho_torch.runtime.ranks import ALONE, Ranks, check_enough

if TYPE_CHECKING:
    from ptycho_torch.training.datamodule import ScanDataModule

_log = logging.getLogger(__name__)


def check_hardware(experiment: Experiment, device: torch.device, ranks: Ranks = ALONE) -> None:
    """Check that a network can be trained on a device by these processes as the settings say.

    Raises:
        ConfigError: it cannot.
    """
    trainer = experiment.trainer
    if trainer.precision == "16-mixed" and device.type == "cpu":
        raise ConfigError(
            "TrainerSettings.precision is 16-mixed, which processors do not compute with; use bf16-mixed or 32-true"
        )
    if trainer.gradient_checkpointing and experiment.model.normalisation == "batch":
        raise ConfigError(
            "TrainerSettings.gradient_checkpointing would count each batch twice in the running means of "
            "ModelSettings.normalisation batch; use group"
        )
    if ranks.size > 1 and experiment.model.normalisation == "batch" and device.type == "cpu":
        raise ConfigError(
            f"ModelSettings.normalisation is batch, whose means {ranks.size} processes without GPUs cannot share; use "
            "group"
        )


def check_groups(data: ScanDataModule, ranks: Ranks) -> None:
    """Check that every process has groups to train on, and warn if some of them wait for the others.

    Raises:
        ConfigError: there are fewer groups than processes.
    """
    check_enough(ranks, data.groups_per_epoch, f"groups of {data.group_size} patterns")
    if data.batch_size < ranks.size:
        _log.warning(
            "%d of %d processes have nothing to do: TrainingSettings.batch_size, the groups of all of them together, "
            "is %d; a larger one uses them",
            ranks.size - data.batch_size,
            ranks.size,
            data.batch_size,
        )
