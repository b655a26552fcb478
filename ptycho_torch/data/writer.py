"""Scans and objects to canonical NPZ files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.files import write_whole


def write_scan(scan: Scan, path: Path) -> None:
    """Write a scan in the canonical layout, patterns as amplitudes; it reads back with the same counts.

    Positions are written in the pixels of the true object, so that `objectGuess` starts at (0, 0).
    """
    origin = (0.0, 0.0) if scan.truth is None else scan.truth.origin_px
    arrays: dict[str, Any] = {
        "diff3d": np.sqrt(scan.counts),
        "xcoords": scan.positions_px[:, 1] - origin[1],
        "ycoords": scan.positions_px[:, 0] - origin[0],
        "scan_index": np.zeros(len(scan), np.int64),
    }
    if scan.probe is not None:
        arrays["probeGuess"] = scan.probe
    if scan.truth is not None:
        arrays["objectGuess"] = scan.truth.pixels
    if not scan.good_pixels.all():
        arrays["bad_pixels"] = ~scan.good_pixels
    with write_whole(path) as file:
        np.savez_compressed(file, **arrays)


def write_object(canvas: Canvas, path: Path) -> None:
    """Write an object as `object` complex64 with `origin_px` (row, column) and `pixel_m` (NaN where unknown)."""
    with write_whole(path) as file:
        np.savez_compressed(
            file,
            object=canvas.pixels,
            origin_px=np.array(canvas.origin_px, np.float64),
            pixel_m=np.float64(np.nan if canvas.pixel_m is None else canvas.pixel_m),
        )
