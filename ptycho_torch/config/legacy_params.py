"""Settings to the flat parameters that legacy code reads."""

from __future__ import annotations

from typing import Any

from ptycho_torch.config.experiment import Experiment


def legacy_params(experiment: Experiment, patch_px: int, photons: float, train_data_file: str | None) -> dict[str, Any]:
    """The flat parameters of a training."""
    return {}
