"""NPZ files of measured data in three layouts, which are recognised by their keys.

Canonical: `diff3d` (or the older `diffraction`), `xcoords`, `ycoords`, and optionally `probeGuess`, `objectGuess`,
`bad_pixels`, `background`. Positions are (x, y) = (column, row) of the object pixel under patch pixel [N//2, N//2].

Export of the client: the canonical keys, always with `xcoords_start`, `ycoords_start` and `bad_pixels`. Positions are
those of the middle of the patch, (N − 1) / 2, not of pixel N//2.

Plain: `data`, `scan`, and optionally `probe`, `mask` (True on bad pixels), `background`; leading axes of length one are
dropped; positions are (row, column).
"""

from __future__ import annotations

import logging
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config.schema import DataSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.conventions import move_patterns_first
from ptycho_torch.data.make_scan import drop_leading, make_scan
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats.format import Format, starts_with
from ptycho_torch.formats.ptychodus_product import half_pixel
from ptycho_torch.storage.archive import read_arrays
from ptycho_torch.storage.untrusted import explain_damage, join_names
from ptycho_torch.storage.writing import write_atomically

_log = logging.getLogger(__name__)

# of an archive with members and of an empty one
_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
_CANONICAL = ("diff3d", "diffraction")
_ONLY_TOGETHER_IN_EXPORTS = ("xcoords_start", "ycoords_start", "bad_pixels")


def read_npz(path: Path | str, settings: DataSettings | None = None, *, probe: NDArray[Any] | None = None) -> Scan:
    """Read a scan from an NPZ file.

    Args:
        path: the file.
        settings: conventions of the file; detected if they are `auto`.
        probe: probe that replaces the one in the file, (h, w) or (mode, h, w).

    Raises:
        ScanFileError: the file is missing, is not an NPZ file, or lacks an array.
        DataError: its arrays do not form a usable scan.
    """
    path = Path(path)
    arrays = load_arrays(path)
    patterns = next((key for key in (*_CANONICAL, "data") if key in arrays), None)
    if patterns is None:
        raise ScanFileError(
            f"{path}: must contain patterns, as diff3d with xcoords and ycoords or as data with scan, but contains "
            f"{join_names(arrays)}"
        )
    is_plain = patterns == "data"
    if is_plain:
        stored = drop_leading(arrays["data"], 3)
        positions_px = drop_leading(read_coordinates(path, arrays, "scan"), 2)
    else:
        columns, rows = (read_coordinates(path, arrays, name).ravel() for name in ("xcoords", "ycoords"))
        if len(columns) != len(rows):
            raise ScanFileError(f"{path}: {len(columns)} xcoords and {len(rows)} ycoords; their numbers must be equal")
        stored = move_patterns_first(arrays[patterns], len(rows), path.name)
        positions_px = np.stack([rows, columns], axis=1)
    shift_px = 0.0 if is_plain else measure_export_shift(arrays, stored, path.name)
    return make_scan(
        name=path.name,
        stored=stored,
        positions_px=positions_px + shift_px,
        settings=settings or DataSettings(),
        bad_pixels=arrays.get("mask" if is_plain else "bad_pixels"),
        background=arrays.get("background"),
        probe=arrays.get("probe" if is_plain else "probeGuess") if probe is None else probe,
        true_object=None if is_plain else arrays.get("objectGuess"),
        object_may_be_small=shift_px != 0,
    )


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Load all arrays of an NPZ file; members other than `*.npy` are ignored.

    Raises:
        ScanFileError: the file is missing or damaged, exceeds a limit, or contains pickled objects.
    """
    with explain_damage(path, "NPZ file", ScanFileError), path.open("rb") as file:
        return read_arrays(file)


def read_coordinates(path: Path, arrays: Mapping[str, NDArray[Any]], key: str) -> NDArray[np.float64]:
    """Read positions along one axis, or both, as they are stored.

    Raises:
        ScanFileError: they are missing or not real numbers.
    """
    if key not in arrays:
        raise ScanFileError(f"{path}: {key!r} is missing; the file contains {join_names(arrays)}")
    values = arrays[key]
    if values.dtype.kind not in "iuf":
        raise ScanFileError(f"{path}: {key} is of type {values.dtype}; it must be real")
    return values.astype(np.float64)


def measure_export_shift(arrays: Container[str], stored: NDArray[Any], name: str) -> float:
    """Distance in pixels by which positions must be shifted along both axes: half a pixel in exports of the client.

    Args:
        arrays: the arrays of the file, by whose names an export is recognised.
        stored: its patterns, (pattern, N, N); with other axes the distance is 0.
        name: name of the scan in the log.
    """
    if stored.ndim != 3 or not all(key in arrays for key in _ONLY_TOGETHER_IN_EXPORTS):
        return 0.0
    _log.info("%s: is an export of Ptychodus; positions are shifted by half a pixel, to patch pixel N//2", name)
    return half_pixel(stored.shape[-1])


def write_scan(scan: Scan, path: Path) -> None:
    """Write a scan in the canonical layout, patterns as amplitudes; reading it returns the same counts.

    Positions are written in pixels of the true object, so that pixel [0, 0] of `objectGuess` lies at (0, 0).
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
    if scan.background is not None:
        arrays["background"] = scan.background
    with write_atomically(path) as file:
        np.savez_compressed(file, **arrays)


def write_object(canvas: Canvas, path: Path) -> None:
    """Write an object as `object` complex64 with `origin_px` (row, column) and `pixel_m` (NaN if unknown)."""
    with write_atomically(path) as file:
        np.savez_compressed(
            file,
            object=canvas.pixels,
            origin_px=np.array(canvas.origin_px, np.float64),
            pixel_m=np.float64(np.nan if canvas.pixel_m is None else canvas.pixel_m),
        )


def read_object(path: Path) -> Canvas:
    """Read an object that `write_object` wrote.

    Raises:
        ScanFileError: the file is missing, is not an NPZ file, or contains no such object.
    """
    arrays = load_arrays(path)
    missing = [key for key in ("object", "origin_px") if key not in arrays]
    if missing:
        raise ScanFileError(f"{path}: {missing[0]!r} is missing; the file contains {join_names(arrays)}")
    origin, pixel_m = arrays["origin_px"], arrays.get("pixel_m", np.float64(np.nan))
    if origin.shape != (2,) or origin.dtype.kind not in "iuf" or not np.isfinite(origin).all():
        raise ScanFileError(f"{path}: origin_px must be two numbers, row and column")
    if np.shape(pixel_m) != () or pixel_m.dtype.kind != "f" or not arrays["object"].dtype.kind == "c":
        raise ScanFileError(f"{path}: object must be complex, and pixel_m a number")
    known = float(pixel_m) if np.isfinite(pixel_m) else None
    return Canvas(arrays["object"], (float(origin[0]), float(origin[1])), known)


FORMAT = Format(
    name="an NPZ file",
    recognises=lambda path: starts_with(path, *_SIGNATURES),
    files=lambda path: [path],
    read=read_npz,
    write=write_scan,
    endings=(".npz",),
)
