"""Trained networks to bundles and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ptycho_torch.persistence.archive import open_bundle, write_bundle
from ptycho_torch.persistence.checkpoint import TrainedNetwork, load_network


def save_torch_bundle(
    network: TrainedNetwork | Path | str, path: Path | str, params: Mapping[str, Any], *, overwrite: bool = False
) -> Path:
    """Write a bundle."""
    file = Path(path) / "wts.h5.zip"
    write_bundle(open_bundle(file), file)
    return file


def load_torch_bundle(path: Path | str) -> tuple[TrainedNetwork, dict[str, Any]]:
    """Read a network."""
    return load_network(path), {}
