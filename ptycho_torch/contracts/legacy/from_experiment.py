"""Settings to the flat parameters that legacy code reads, under the names that it knows."""

from __future__ import annotations

import math
from typing import Any

from ptycho_torch.config.experiment import Experiment
from ptycho_torch.contracts.legacy.parameters import (
    ACTIVATIONS,
    CHANNELS_PER_FILTER_SCALE,
    LegacyInference,
    LegacyTraining,
    flat_defaults,
)

_ACTIVATIONS = {own: legacy for legacy, own in ACTIVATIONS.items()}
# what legacy code assumes where this package has no counterpart; n_images is the older name of n_groups
_ASSUMED = flat_defaults(LegacyInference, LegacyTraining) | {"n_images": None}


def legacy_params(
    experiment: Experiment,
    patch_px: int,
    photons: float,
    train_data_file: str | None,
    output_dir: str = "training_outputs",
) -> dict[str, Any]:
    """The flat parameters that describe a training.

    Args:
        experiment: all settings.
        patch_px: side of the patterns.
        photons: mean photons of a pattern.
        train_data_file: where the patterns are from, where that is known.
        output_dir: where the results are.
    """
    model, training = experiment.model, experiment.training
    root = math.isqrt(training.group_size)
    supervised = training.target == "object"
    by_counts = training.loss != "amplitude_mae" and not supervised
    return _ASSUMED | {
        "N": patch_px,
        # legacy groups are square grids; patterns that are grouped in another way are single ones to it
        "gridsize": root if root**2 == training.group_size else 1,
        "n_filters_scale": max(1, round(model.width / CHANNELS_PER_FILTER_SCALE)),
        "model_type": "supervised" if supervised else "pinn",
        "amp_activation": _ACTIVATIONS[model.amplitude],
        # whether overlapping patches are merged into one object
        "object.big": training.unmerged_weight < 1,
        # whether the network fills the whole patch
        "probe.big": model.field == "whole",
        # the probe is refined before training, or only scaled to the photons
        "probe.trainable": training.bootstrap_epochs > 0,
        "batch_size": training.batch_size,
        "nepochs": training.epochs,
        "nll_weight": float(by_counts),
        "mae_weight": float(not by_counts),
        "nphotons": photons,
        "n_groups": training.groups_per_epoch,
        "neighbor_count": training.neighbours or max(training.group_size - 1, 1),
        "train_data_file_path": train_data_file,
        "output_prefix": output_dir,
    }
