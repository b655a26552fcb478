"""NPZ files of measured data in two layouts, told apart by their keys.

Canonical: `diff3d` (or the older `diffraction`), `xcoords`, `ycoords`, and optionally `probeGuess`, `objectGuess`,
`bad_pixels`. Positions are (x, y) = (column, row) of the object pixel under patch pixel [N//2, N//2].

Plain: `data`, `scan`, and optionally `probe`, `mask` (True = bad); axes of length one in front are dropped; positions
are (row, column).
"""

from __future__ import annotations

import logging
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config.schema import DataSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.conventions import (
    beam_is_centred,
    check_pixels,
    lit_patterns,
    oriented,
    patterns_first,
    to_counts,
)
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ScanFileError

_log = logging.getLogger(__name__)

LARGEST_ARRAY_BYTES = 2**36
# what the system, zipfile, zlib and numpy raise when a file is not what it claims to be
DAMAGE: tuple[type[Exception], ...] = (OSError, ValueError, EOFError, RuntimeError, SyntaxError, MemoryError)
DAMAGE += (OverflowError, KeyError, zipfile.BadZipFile, zlib.error, tokenize.TokenError)
_CANONICAL = ("diff3d", "diffraction")


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
        f"{path}: no patterns among its keys {', '.join(sorted(arrays)) or '(none)'}; "
        "diff3d with xcoords and ycoords, or data with scan, are needed"
    )


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an NPZ file; objects that would have to be unpickled are refused.

    Raises:
        ScanFileError: the file is missing, damaged, absurdly large or holds pickled objects.
    """
    if not path.is_file():
        raise ScanFileError(f"{path}: there is no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > LARGEST_ARRAY_BYTES:
            raise ScanFileError(f"{path}: its arrays claim {size / 2**30:.0f} GiB; at most 64 GiB are read")
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except ScanFileError:
        raise
    except DAMAGE as error:
        reason = "holds pickled objects" if "allow_pickle" in str(error) else "is not a readable NPZ file"
        raise ScanFileError(f"{path}: {reason} ({type(error).__name__})") from error


def _need(path: Path, arrays: dict[str, NDArray[Any]], key: str) -> NDArray[Any]:
    if key not in arrays:
        raise ScanFileError(f"{path}: key {key!r} is missing; it holds {', '.join(sorted(arrays))}")
    return arrays[key]


def _canonical(
    path: Path, arrays: dict[str, NDArray[Any]], key: str, settings: DataSettings, probe: NDArray[Any] | None
) -> Scan:
    columns, rows = (_need(path, arrays, name).ravel().astype(np.float64) for name in ("xcoords", "ycoords"))
    if len(columns) != len(rows):
        raise ScanFileError(f"{path}: {len(columns)} xcoords and {len(rows)} ycoords; as many of each are needed")
    stored = patterns_first(arrays[key], len(rows), path.name)
    guess = arrays.get("objectGuess")
    truth = None
    if guess is not None and guess.ndim == 2 and np.ptp(np.abs(guess)) + np.ptp(guess.real) > 0:
        truth = Canvas(guess.astype(np.complex64))
    positions = np.stack([rows, columns], axis=1)
    return _scan(
        path, stored, positions, arrays.get("bad_pixels"), settings, _given(probe, arrays, "probeGuess"), truth
    )


def _plain(path: Path, arrays: dict[str, NDArray[Any]], settings: DataSettings, probe: NDArray[Any] | None) -> Scan:
    stored = _drop_leading(arrays["data"], 3)
    positions = _drop_leading(_need(path, arrays, "scan"), 2).astype(np.float64)
    return _scan(path, stored, positions, arrays.get("mask"), settings, _given(probe, arrays, "probe"), None)


def _given(probe: NDArray[Any] | None, arrays: dict[str, NDArray[Any]], key: str) -> NDArray[Any] | None:
    return arrays.get(key) if probe is None else probe


def _scan(
    path: Path,
    stored: NDArray[Any],
    positions: NDArray[np.float64],
    bad: NDArray[Any] | None,
    settings: DataSettings,
    probe: NDArray[Any] | None,
    truth: Canvas | None,
) -> Scan:
    name = path.name
    if stored.ndim != 3:
        raise ScanFileError(f"{path}: patterns have shape {stored.shape}; (pattern, N, N) is needed")
    if positions.ndim != 2 or positions.shape[1:] != (2,):
        raise ScanFileError(f"{path}: positions have shape {positions.shape}; (pattern, 2) is needed")
    if len(stored) != len(positions):
        raise ScanFileError(
            f"{path}: {len(stored)} patterns but {len(positions)} positions; as many of each are needed"
        )
    check_pixels(positions, name)
    good = np.ones(stored.shape[1:], bool) if bad is None else ~(np.squeeze(bad).astype(bool))
    if good.shape != stored.shape[1:]:
        raise ScanFileError(f"{path}: the mask has shape {good.shape}, the patterns {stored.shape[1:]}")
    # values on bad pixels mean nothing, not even as numbers
    counts = to_counts(np.where(good, stored, stored.dtype.type(0)), settings, name)
    if counts.size:
        # the mask is an image of the same detector: whatever turns the patterns turns it too
        lit = lit_patterns(counts, name)
        counts, positions = counts[lit], positions[lit]
        is_centred = beam_is_centred(counts, settings, name)
        counts, good = (
            oriented(images if is_centred else np.fft.fftshift(images, (-2, -1)), settings) for images in (counts, good)
        )
    if settings.swap_positions:
        positions = positions[:, ::-1]
    return Scan(
        counts=counts,
        positions_px=positions,
        probe=None if probe is None else as_modes(probe, path),
        good_pixels=good,
        truth=truth,
        pixel_m=settings.pixel_m,
        name=name,
    )


def as_modes(probe: NDArray[Any], name: Path | str) -> NDArray[np.complex64]:
    """A stored probe as (mode, h, w) complex64; a flat one becomes a single mode.

    Raises:
        ScanFileError: it has another number of axes or is not numeric.
    """
    reduced = _drop_leading(probe, 3) if probe.ndim > 3 else probe
    if reduced.ndim == 2:
        reduced = reduced[None]
    if reduced.ndim != 3 or not np.issubdtype(reduced.dtype, np.number):
        raise ScanFileError(f"{name}: the probe has shape {probe.shape} and type {probe.dtype}; (mode, N, N) is needed")
    return reduced.astype(np.complex64)


def _drop_leading(array: NDArray[Any], axes: int) -> NDArray[Any]:
    while array.ndim > axes and array.shape[0] == 1:
        array = array[0]
    return array
