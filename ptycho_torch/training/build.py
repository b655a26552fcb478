"""The composition root: settings to generator, loss and module. Nothing else reads `model` and `training` together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.config import Experiment
from ptycho_torch.losses import LOSSES
from ptycho_torch.networks.build import Generator, build_generator
from ptycho_torch.training.module import ReconstructionModule

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


def build_module(
    experiment: Experiment,
    probes: Sequence[NDArray[np.complex64]],
    photons: Sequence[float],
    good: Sequence[NDArray[np.bool_]],
    total_steps: int,
) -> ReconstructionModule:
    """The module that trains a network on scans.

    Args:
        experiment: all settings; they are stored in the checkpoints.
        probes: (mode, h, w) probe of each scan, in √photons.
        photons: mean photons of a pattern of each scan.
        good: (h, w) good detector pixels of each scan.
        total_steps: optimiser steps that training will take.
    """
    training = experiment.training
    stacked = torch.from_numpy(np.stack(probes))
    return ReconstructionModule(
        build_network(experiment, stacked.shape[-1]),
        stacked,
        torch.tensor(photons, dtype=torch.float32),
        torch.from_numpy(np.stack(good).astype(np.float32)),
        loss=LOSSES[training.loss],
        learning_rate=training.learning_rate,
        warmup_steps=training.warmup_steps,
        total_steps=total_steps,
        unmerged_weight=training.unmerged_weight,
        variation_weight=training.total_variation,
        record=make_record(experiment, stacked.shape[-1]),
    )


def make_record(experiment: Experiment, patch_px: int) -> dict[str, Any]:
    """What a checkpoint tells about its network, as plain values."""
    return {"version": RECORD_VERSION, "patch_px": patch_px, "experiment": experiment.to_dict()}
