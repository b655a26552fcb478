"""The workflow entry points of the contract: the order of steps, and nothing else."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ptycho_torch.api.workflow_data import ensure_container
from ptycho_torch.config.legacy import LegacyTraining, update_legacy_dict
from ptycho_torch.persistence.bundle import load_torch_bundle
from ptycho_torch.workflows.reconstruction import reconstruct_scan
from ptycho_torch.workflows.training import train_network

__all__ = ["ensure_container", "load_torch_bundle", "reconstruct_scan", "train_network", "update_legacy_dict"]


def train_cdi_model_torch(train_data: object, test_data: object, config: LegacyTraining) -> dict[str, Any]:
    """Nothing yet."""
    container = ensure_container(None, config)
    history: dict[str, list[float]] = {"train_loss": [0.0]}
    return {"history": history, "train_container": container, "test_container": 0, "checkpoint": 0, "bundle": Path()}


def run_cdi_example_torch(
    train_data: object, test_data: object, config: LegacyTraining, *, do_stitching: bool = False
) -> tuple[Any, Any, dict[str, Any]]:
    """Nothing yet."""
    return np.zeros(2), np.zeros(3), {"object": np.zeros(4)}


def load_inference_bundle_torch(bundle_dir: Path | str) -> tuple[Any, dict[str, Any]]:
    """Nothing yet."""
    return SimpleNamespace(patch_px=0), {}
