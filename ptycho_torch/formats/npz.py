"""NPZ files of measured data in three layouts, told apart by their keys.

Canonical: `diff3d` (or the older `diffraction`), `xcoords`, `ycoords`, and optionally `probeGuess`, `objectGuess`,
`bad_pixels`. Positions are (x, y) = (column, row) of the object pixel under patch pixel [N//2, N//2].

Exported by the client: the canonical keys, and `xcoords_start`, `ycoords_start` and `bad_pixels` always. Its positions
name the middle of the patch, (N − 1) / 2, where canonical ones name pixel N//2.

Plain: `data`, `scan`, and optionally `probe`, `mask` (True = bad); axes of length one in front are dropped; positions
are (row, column).
"""

from __future__ import annotations

import logging
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config.schema import DataSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.conventions import move_patterns_first
from ptycho_torch.data.make_scan import drop_leading, make_scan, to_true_object
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats.format import Format, starts_with
from ptycho_torch.formats.ptychodus_product import half_pixel
from ptycho_torch.storage.archive import read_arrays
from ptycho_torch.storage.untrusted import explain_damage, join_names
from ptycho_torch.storage.writing import write_atomically

_log = logging.getLogger(__name__)

# of an archive with members, and of one without
_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
_CANONICAL = ("diff3d", "diffraction")
_ONLY_TOGETHER_IN_EXPORTS = ("xcoords_start", "ycoords_start", "bad_pixels")


def read_npz(path: Path | str, settings: DataSettings | None = None, *, probe: NDArray[Any] | None = None) -> Scan:
    """Read a scan from an NPZ file.

    Args:
        path: the file.
        settings: what the file does not say; detected where they say `auto`.
        probe: probe to use instead of the file's, (h, w) or (mode, h, w).

    Raises:
        ScanFileError: the file is missing, is no NPZ file, or lacks an array.
        DataError: its arrays do not make a scan.
    """
    path = Path(path)
    settings = settings or DataSettings()
    arrays = load_arrays(path)
    key = next((key for key in _CANONICAL if key in arrays), None)
    if key:
        return _canonical(path, arrays, key, settings, probe)
    if "data" in arrays:
        return _plain(path, arrays, settings, probe)
    raise ScanFileError(
        f"{path}: no patterns among its keys {join_names(arrays) or '(none)'}; "
        "diff3d with xcoords and ycoords, or data with scan, are needed"
    )


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an NPZ file, members of other names than `*.npy` left out.

    Raises:
        ScanFileError: the file is missing, damaged, absurdly large, holds less than it claims or pickled objects.
    """
    with explain_damage(path, "NPZ file", ScanFileError), path.open("rb") as file:
        return read_arrays(file)


def _need(path: Path, arrays: dict[str, NDArray[Any]], key: str) -> NDArray[Any]:
    if key not in arrays:
        raise ScanFileError(f"{path}: key {key!r} is missing; it holds {join_names(arrays) or 'nothing'}")
    return arrays[key]


def read_coordinates(path: Path, arrays: dict[str, NDArray[Any]], key: str) -> NDArray[np.float64]:
    """Positions along an axis, or along both, as they are stored.

    Raises:
        ScanFileError: they are missing, or no real numbers.
    """
    values = _need(path, arrays, key)
    if values.dtype.kind not in "iuf":
        raise ScanFileError(f"{path}: {key} is of type {values.dtype}; real numbers are needed")
    return values.astype(np.float64)


def measure_export_shift(arrays: Container[str], stored: NDArray[Any], name: str) -> float:
    """How far the positions of a file have to be moved along both axes: by half a pixel where the client exported it.

    Args:
        arrays: the arrays of the file, by whose names an export is recognised.
        stored: its patterns, (pattern, N, N); with other axes nothing is moved.
        name: how the log refers to the file.
    """
    if stored.ndim != 3 or not all(key in arrays for key in _ONLY_TOGETHER_IN_EXPORTS):
        return 0.0
    _log.info("%s: is an export of Ptychodus; its positions are moved by half a pixel, to patch pixel N//2", name)
    return half_pixel(stored.shape[-1])


def _canonical(
    path: Path, arrays: dict[str, NDArray[Any]], key: str, settings: DataSettings, probe: NDArray[Any] | None
) -> Scan:
    columns, rows = (read_coordinates(path, arrays, name).ravel() for name in ("xcoords", "ycoords"))
    if len(columns) != len(rows):
        raise ScanFileError(f"{path}: {len(columns)} xcoords and {len(rows)} ycoords; as many of each are needed")
    stored = move_patterns_first(arrays[key], len(rows), path.name)
    positions_px = np.stack([rows, columns], axis=1)
    guess = arrays.get("objectGuess")
    truth = to_true_object(guess, path.name) if guess is not None and guess.ndim == 2 else None
    shift_px = measure_export_shift(arrays, stored, path.name)
    positions_px += shift_px
    if shift_px and truth is not None and not truth.covers(positions_px, stored.shape[-1]).all():
        _log.warning("%s: its object does not cover the scan and is not compared with", path.name)
        truth = None
    return make_scan(
        name=path.name,
        stored=stored,
        positions_px=positions_px,
        settings=settings,
        bad_pixels=arrays.get("bad_pixels"),
        background=arrays.get("background"),
        probe=_given(probe, arrays, "probeGuess"),
        truth=truth,
    )


def _plain(path: Path, arrays: dict[str, NDArray[Any]], settings: DataSettings, probe: NDArray[Any] | None) -> Scan:
    return make_scan(
        name=path.name,
        stored=drop_leading(arrays["data"], 3),
        positions_px=drop_leading(read_coordinates(path, arrays, "scan"), 2),
        settings=settings,
        bad_pixels=arrays.get("mask"),
        background=arrays.get("background"),
        probe=_given(probe, arrays, "probe"),
    )


def _given(probe: NDArray[Any] | None, arrays: dict[str, NDArray[Any]], key: str) -> NDArray[Any] | None:
    return arrays.get(key) if probe is None else probe


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
    if scan.background is not None:
        arrays["background"] = scan.background
    with write_atomically(path) as file:
        np.savez_compressed(file, **arrays)


def write_object(canvas: Canvas, path: Path) -> None:
    """Write an object as `object` complex64 with `origin_px` (row, column) and `pixel_m` (NaN where unknown)."""
    with write_atomically(path) as file:
        np.savez_compressed(
            file,
            object=canvas.pixels,
            origin_px=np.array(canvas.origin_px, np.float64),
            pixel_m=np.float64(np.nan if canvas.pixel_m is None else canvas.pixel_m),
        )


FORMAT = Format(
    name="an NPZ file",
    recognises=lambda path: starts_with(path, *_SIGNATURES),
    files=lambda path: [path],
    read=read_npz,
    write=write_scan,
    endings=(".npz",),
)
