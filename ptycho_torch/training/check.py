"""Whether a training can begin, as far as settings and devices tell."""

from __future__ import annotations

import torch

from ptycho_torch.config import Experiment
from ptycho_torch.networks.build import build_network
from ptycho_torch.runtime.device import find_rank_device
from ptycho_torch.runtime.ranks import find_ranks
from ptycho_torch.runtime.trackers import require_trackers
from ptycho_torch.training.hardware import check_hardware
from ptycho_torch.training.teacher import load_teacher


def check_settings(experiment: Experiment, patch_px: int, device: str) -> torch.device:
    """Check that a network can be trained on patterns of a size, on a device, as the settings say.

    Returns:
        The device.

    Raises:
        ConfigError: it cannot, or the device does not exist.
        ModelFileError: the teacher cannot be read.
        MissingExtraError: a tracker is not installed.
    """
    require_trackers(experiment.tracking)
    ranks = find_ranks(experiment.trainer)
    place = find_rank_device(device, experiment.trainer, ranks)
    check_hardware(experiment, place, ranks)
    build_network(experiment, patch_px)
    load_teacher(experiment.training, patch_px)
    return place
