"""Whether a training can begin, as far as settings and device tell; importing this takes no Lightning."""

from __future__ import annotations

import torch

from ptycho_torch.config import Experiment
from ptycho_torch.networks.build import build_network
from ptycho_torch.runtime.device import find_device
from ptycho_torch.runtime.trackers import require_trackers
from ptycho_torch.training.hardware import check_hardware


def check_settings(experiment: Experiment, patch_px: int, device: str) -> torch.device:
    """Check that a network can be trained on patterns of a size, on a device, as the settings say.

    Returns:
        The device.

    Raises:
        ConfigError: it cannot, or the device does not exist.
        MissingExtraError: a tracker is not installed.
    """
    require_trackers(experiment.tracking)
    place = find_device(device, experiment.trainer.accelerator)
    check_hardware(experiment, place)
    build_network(experiment, patch_px)
    return place
