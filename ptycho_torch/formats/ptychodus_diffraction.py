"""Diffraction files: the client's HDF5 layout of assembled patterns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.errors import ScanFileError
from ptycho_torch.storage.hdf5 import open_hdf5, write_hdf5

_COMPRESSION = "lzf"


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
    """Read a diffraction file; values on bad pixels may be anything.

    Raises:
        ScanFileError: the file is missing or damaged, lacks something, or its parts do not fit together.
    """
    with open_hdf5(Path(path), ScanFileError) as contents:
        photons = "probe_photon_counts"
        diffraction = Diffraction(
            patterns=contents.array("patterns", "iuf", [3], finite=False),
            indexes=contents.array("indexes", "iu", [1]).astype(np.int64),
            bad_pixels=contents.array("bad_pixels", "biu", [2]).astype(bool),
            pixel_m=(
                contents.number("detector_pixel_height_m", of="patterns"),
                contents.number("detector_pixel_width_m", of="patterns"),
            ),
            pattern_photons=contents.array(photons, "fiu", [1]).astype(np.float64) if contents.has(photons) else None,
        )
        patterns, mask = diffraction.patterns, diffraction.bad_pixels
        if len(patterns) != len(diffraction.indexes):
            raise contents.fail(
                f"there are {len(patterns)} patterns and {len(diffraction.indexes)} indexes; as many of each are needed"
            )
        if patterns.shape[1:] != mask.shape:
            raise contents.fail(f"the mask has shape {mask.shape}, the patterns {patterns.shape[1:]}")
    return diffraction


def write_diffraction(diffraction: Diffraction, path: Path) -> None:
    """Write a diffraction file, whole or not at all, compressed as the client does it.

    Raises:
        OutputError: it cannot be written there.
    """
    arrays = {
        "patterns": diffraction.patterns,
        "indexes": diffraction.indexes,
        "bad_pixels": diffraction.bad_pixels,
        "probe_photon_counts": diffraction.pattern_photons,
    }
    with write_hdf5(path) as file:
        for name, array in arrays.items():
            if array is not None:
                file.create_dataset(name, data=array, compression=_COMPRESSION)
        height, width = diffraction.pixel_m
        file["patterns"].attrs.update({"detector_pixel_height_m": height, "detector_pixel_width_m": width})
