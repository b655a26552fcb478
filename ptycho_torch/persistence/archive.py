"""Bundles as archives, read and written without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import Experiment
from ptycho_torch.files import write_whole


@dataclass(frozen=True, eq=False)
class Bundle:
    """What a bundle holds."""

    weights: Mapping[str, NDArray[Any]]
    params: Mapping[str, Any]
    experiment: Experiment
    patch_px: int
    steps: int

    @property
    def manifest(self) -> dict[str, Any]:
        """What the archive says it is."""
        return {}

    @property
    def models(self) -> dict[str, dict[str, NDArray[Any]]]:
        """Weights by model."""
        return {}


def open_bundle(path: Path | str) -> Bundle:
    """Read a bundle."""
    return Bundle({}, {}, Experiment(), 64, 0)


def write_bundle(bundle: Bundle, path: Path) -> None:
    """Write a bundle."""
    with write_whole(path) as file:
        np.savez(file)


def bundle_file(path: Path | str) -> Path:
    """The file of a bundle."""
    return Path(path) / "wts.h5.zip"
