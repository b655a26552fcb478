"""What a device and the settings of the hardware must have in common, checked before anything is computed."""

from __future__ import annotations

import torch

from ptycho_torch.config import Experiment
from ptycho_torch.errors import ConfigError


def check_hardware(experiment: Experiment, device: torch.device) -> None:
    """Check that a network can be trained on a device as the settings say.

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
