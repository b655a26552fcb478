"""Settings to the flat parameters that legacy code reads, under the names that it knows."""

from __future__ import annotations

from typing import Any

from ptycho_torch.config import Experiment
from ptycho_torch.contracts.legacy.parameters import KEYS, LegacyInference, LegacyModel, LegacyTraining, flat_defaults
from ptycho_torch.contracts.ptychodus.field import restore_fields


def legacy_params(
    experiment: Experiment,
    patch_px: int,
    photons: float,
    train_data_file: str | None,
    output_dir: str = "training_outputs",
) -> dict[str, Any]:
    """The flat parameters that describe a training; what this package does not know has the legacy default.

    Args:
        experiment: all settings.
        patch_px: side of the patterns.
        photons: mean photons of a pattern.
        train_data_file: where the patterns are from, where that is known.
        output_dir: where the results are.
    """
    training = experiment.training
    by_counts = training.loss != "amplitude_mae" and training.target != "object"
    found = restore_fields(LegacyModel, experiment) | restore_fields(LegacyTraining, experiment)
    found |= {
        "N": patch_px,
        "nll_weight": float(by_counts),
        "mae_weight": float(not by_counts),
        "nphotons": photons,
        "neighbor_count": training.neighbours or max(training.group_size - 1, 1),
        "train_data_file": train_data_file,
        "output_dir": output_dir,
    }
    # n_images is the older name of n_groups
    assumed = flat_defaults(LegacyInference, LegacyTraining) | {"n_images": None}
    return assumed | {KEYS[name]: value for name, value in found.items()}
