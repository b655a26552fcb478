"""NPZ files of measured data in three layouts, which are recognised by their keys.

Canonical: `diff3d` (or the older `diffraction`), `xcoords`, `ycoords`, and optionally `probeGuess`, `objectGuess`,
`bad_pixels`, `background`, `pixel_m` (side of an object pixel). Positions are (x, y) = (column, row) of the object
pixel under patch pixel [N//2, N//2].

Export of the client: the canonical keys, always with `xcoords_start`, `ycoords_start` and `bad_pixels`. Positions are
those of the middle of the patch, (N − 1) / 2, not of pixel N//2.

Plain: `data`, `scan`, and optionally `probe`, `mask` (True on bad pixels), `background`; leading axes of length one are
dropped; positions are (row, column).
"""

from __future__ import annotations

import contextlib
import logging
import zipfile
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import DataSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.make_scan import drop_leading
from ptycho_torch.data.recording import PatternStack, Recording
from ptycho_torch.data.scan import Scan
from ptycho_torch.data.stored_counts import read_parts
from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats.arrays import ZIP_SIGNATURES, ArrayTable, open_arrays
from ptycho_torch.formats.format import Format, RecordingReader, starts_with
from ptycho_torch.formats.guess import guess_recording, read_geometry
from ptycho_torch.formats.ptychodus_product import half_pixel
from ptycho_torch.storage.untrusted import join_names
from ptycho_torch.storage.writing import write_atomically

_log = logging.getLogger(__name__)

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
    return RecordingReader(open_npz)(Path(path), settings, probe=probe)


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Load every array of a file into memory.

    Raises:
        ScanFileError: the file is missing or contains no arrays.
    """
    with open_arrays(path) as table:
        return {key: table.read(key) for key in table.shapes}


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[Recording]:
    """Open an NPZ file in one of the layouts; one in another layout is searched for arrays of usual names.

    Raises:
        ScanFileError: the file is missing, is not an NPZ file, or contains no patterns.
    """
    with open_arrays(path) as table:
        patterns = next((key for key in (*_CANONICAL, "data") if key in table.shapes), None)
        is_plain = patterns == "data" and "scan" in table.shapes
        if patterns is None or (patterns == "data" and not is_plain):
            yield guess_recording(table)
        elif is_plain:
            yield _open_plain(table)
        else:
            yield _open_canonical(table, patterns)


def _open_plain(table: ArrayTable) -> Recording:
    return Recording(
        name=table.path.name,
        patterns=PatternStack(drop_leading(np.asarray(table.find("data")), 3)),
        positions=drop_leading(to_coordinates(table.read("scan"), "scan", table.path), 2),
        position_unit="px",
        **_read_images(table, mask="mask", probe="probe"),
    )


def _open_canonical(table: ArrayTable, patterns: str) -> Recording:
    name = table.path.name
    coordinates = [
        to_coordinates(table.read(key), key, table.path).ravel()
        for key in ("ycoords", "xcoords")
        if key in table.shapes
    ]
    if len(coordinates) < 2 and any(key in table.shapes for key in ("xcoords", "ycoords")):
        missing = "xcoords" if "ycoords" in table.shapes else "ycoords"
        raise table.make_error(f"{missing!r} is missing; the file contains {join_names(table.shapes)}")
    if len(coordinates) < 2:
        return guess_recording(table)
    rows, columns = coordinates
    if len(columns) != len(rows):
        raise table.make_error(f"{len(columns)} xcoords and {len(rows)} ycoords; their numbers must be equal")
    stored = table.find(patterns)
    is_last = len(stored.shape) == 3 and stored.shape[0] != len(rows) and stored.shape[2] == len(rows)
    if is_last:
        _log.info("%s: the pattern axis is the last one, as in old files; it is moved to the front", name)
    stack = PatternStack(stored, is_last=is_last)
    shift_px = measure_export_shift(table.shapes, stored.shape, name)
    return Recording(
        name=name,
        patterns=stack,
        positions=np.stack([rows, columns], axis=1) + shift_px,
        position_unit="px",
        true_object=table.read("objectGuess") if "objectGuess" in table.shapes else None,
        object_may_be_small=shift_px != 0,
        **_read_images(table, mask="bad_pixels", probe="probeGuess"),
    )


def _read_images(table: ArrayTable, *, mask: str, probe: str) -> dict[str, Any]:
    keys = {"bad_pixels": mask, "probe": probe, "background": "background"}
    found: dict[str, Any] = {what: table.read(key) if key in table.shapes else None for what, key in keys.items()}
    return found | {"geometry": read_geometry(table)}


def to_coordinates(values: NDArray[Any], key: str, path: Path) -> NDArray[np.float64]:
    """Convert positions along one axis, or both, as they are stored.

    Raises:
        ScanFileError: they are not real numbers.
    """
    if values.dtype.kind not in "iuf":
        raise ScanFileError(f"{path}: {key} is of type {values.dtype}; it must be real")
    return values.astype(np.float64)


def measure_export_shift(arrays: Container[str], shape: tuple[int, ...], name: str) -> float:
    """Distance in pixels by which positions must be shifted along both axes: half a pixel in exports of the client.

    Args:
        arrays: the arrays of the file, by whose names an export is recognised.
        shape: shape of its patterns, (pattern, N, N) or (N, N, pattern); with other axes the distance is 0.
        name: name of the scan in the log.
    """
    if len(shape) != 3 or not all(key in arrays for key in _ONLY_TOGETHER_IN_EXPORTS):
        return 0.0
    _log.info("%s: is an export of Ptychodus; positions are shifted by half a pixel, to patch pixel N//2", name)
    return half_pixel(shape[1])


def write_scan(scan: Scan, path: Path) -> None:
    """Write a scan in the canonical layout, patterns as amplitudes; reading it returns the same counts.

    Positions are written in pixels of the true object, so that pixel [0, 0] of `objectGuess` lies at (0, 0).
    """
    origin = (0.0, 0.0) if scan.truth is None else scan.truth.origin_px
    arrays: dict[str, Any] = {
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
    if scan.fluorescence is not None:
        arrays["fluorescence"] = scan.fluorescence
    if scan.pixel_m is not None:
        arrays["pixel_m"] = np.float64(scan.pixel_m)
    with write_atomically(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asarray(array), allow_pickle=False)
        with archive.open("diff3d.npy", "w", force_zip64=True) as stream:
            header = {"descr": "<f4", "fortran_order": False, "shape": scan.counts.shape}
            np.lib.format.write_array_header_1_0(stream, header)
            for _, counts in read_parts(scan.counts):
                stream.write(np.sqrt(counts).astype("<f4", order="C").data)


def write_object(
    canvas: Canvas, path: Path, phase_plane: NDArray[np.float64] | None = None, *, interrupted: str = ""
) -> None:
    """Write an object as `object` complex64 with `origin_px` (row, column) and `pixel_m` (NaN if unknown).

    Args:
        canvas: the object.
        path: the file.
        phase_plane: offset, slope along rows and along columns, in radians, of the phase that pictures of the object
            lack: they show `object · exp(−i (offset + row · slope + column · slope))`. None if there are no pictures.
        interrupted: name of the signal that ended the run before it was complete, written as `interrupted`; empty if
            it was not interrupted.
    """
    arrays: dict[str, Any] = {
        "object": canvas.pixels,
        "origin_px": np.array(canvas.origin_px, np.float64),
        "pixel_m": np.float64(np.nan if canvas.pixel_m is None else canvas.pixel_m),
    }
    if phase_plane is not None:
        arrays["phase_plane"] = phase_plane
    if interrupted:
        arrays["interrupted"] = np.array(interrupted)
    with write_atomically(path) as file:
        np.savez_compressed(file, **arrays)


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
    recognises=lambda path: starts_with(path, *ZIP_SIGNATURES),
    files=lambda path: [path],
    read=RecordingReader(open_npz),
    write=write_scan,
    endings=(".npz",),
)
