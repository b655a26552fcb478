"""Settings to a network, without Lightning: also what a checkpoint is read back with."""

from __future__ import annotations

from typing import Any

import torch

from ptycho_torch.config import Experiment
from ptycho_torch.networks.build import Generator, build_generator

RECORD_VERSION = 1


def build_network(experiment: Experiment, patch_px: int) -> Generator:
    """The generator that the settings name, its weights drawn by the training seed.

    Raises:
        ConfigError: it cannot take patterns of this size.
    """
    model = experiment.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(experiment.training.seed)
        return build_generator(
            model.network,
            patch_px=patch_px,
            width=model.width,
            depth=model.depth,
            output=model.output,
            amplitude=model.amplitude,
            phase=model.phase,
        )


def make_record(experiment: Experiment, patch_px: int) -> dict[str, Any]:
    """What a checkpoint tells about its network, as plain values."""
    return {"version": RECORD_VERSION, "patch_px": patch_px, "experiment": experiment.to_dict()}
