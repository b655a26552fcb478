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
    """Patterns as the detector recorded them.

    Attributes:
        patterns: (pattern, h, w) counts, zero frequency at [h//2, w//2].
        indexes: (pattern,) numbers that assign patterns to positions; negative if a pattern was never filled.
        bad_pixels: (h, w) True on bad pixels of the detector.
        pixel_m: height and width of a detector pixel in metres.
        pattern_photons: (pattern,) photons incident on the sample, or None if they were not measured.
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
        patterns = contents.read_array("patterns", "iuf", [3], finite=False)
        indexes = contents.read_array("indexes", "iu", [1])
        mask = contents.read_array("bad_pixels", "biu", [2])
        if len(patterns) != len(indexes) or patterns.shape[1:] != mask.shape:
            raise contents.make_error(
                f"there are {len(patterns)} patterns and {len(indexes)} indexes, the mask has shape {mask.shape} and "
                f"the patterns {patterns.shape[1:]}; they must be equal"
            )
        return Diffraction(
            patterns=patterns,
            indexes=indexes.astype(np.int64),
            bad_pixels=mask.astype(bool),
            pixel_m=(
                contents.read_number("detector_pixel_height_m", of="patterns"),
                contents.read_number("detector_pixel_width_m", of="patterns"),
            ),
            pattern_photons=contents.read_array(photons, "fiu", [1]) if contents.has_array(photons) else None,
        )


def write_diffraction(diffraction: Diffraction, path: Path) -> None:
    """Write a diffraction file, atomically, compressed as by the client.

    Raises:
        OutputError: the file cannot be written.
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
