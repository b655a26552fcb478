"""Arrays that the settings name: in the file of the scan, in another file, or a whole file of numbers or an image."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ptycho_torch.config import DataSettings
from ptycho_torch.data.recording import Recording
from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats.arrays import open_arrays
from ptycho_torch.formats.kinds import NPY_SIGNATURE, describe, is_image, is_text, read_start
from ptycho_torch.storage.npy import read_array
from ptycho_torch.storage.untrusted import explain_damage, summarise_error

_log = logging.getLogger(__name__)

_LARGEST_TEXT_BYTES = 2**28
# with a palette or opacity
_MODES_OF_COLOUR = ("P", "PA", "LA", "RGBA")


def replace_named(recording: Recording, path: Path, settings: DataSettings) -> Recording:
    """Replace what a recording contains by the arrays that the settings name.

    Raises:
        ScanFileError: an array does not exist or cannot be read.
    """
    changed: dict[str, Any] = {}
    if settings.positions is not None:
        changed |= {"positions": read_positions(settings.positions, path), "position_unit": "auto", "raster": None}
    if settings.mask is not None:
        changed["bad_pixels"] = _read_mask(settings.mask, path, recording.patterns.frame, recording.name)
    for key in ("dark", "flat", "background"):
        reference = getattr(settings, key)
        if reference is not None:
            changed[key] = read_named(reference, path)
    return replace(recording, **changed)


def read_named(reference: str, path: Path) -> NDArray[Any]:
    """Read the array that FILE, FILE:NAME or NAME, in the file at `path`, names.

    Raises:
        ScanFileError: there is none.
    """
    whole = Path(reference)
    if whole.is_file():
        return read_file(whole)
    place, separator, name = reference.rpartition(":")
    if separator and Path(place).is_file():
        path, reference = Path(place), name
    elif not path.is_file() or is_text(path) or is_image(path):
        raise ScanFileError(f"{reference}: the file does not exist, and {path} is not a file of named arrays")
    with open_arrays(path) as table:
        return table.read(reference)


def read_positions(reference: str, path: Path) -> NDArray[np.float64]:
    """Read positions (pattern, 2) from one array of rows and columns, or from two arrays with a comma between them.

    Raises:
        ScanFileError: an array does not exist, or has another shape.
    """
    parts = reference.split(",")
    if len(parts) == 2 and not Path(reference).is_file():
        rows, columns = (np.ravel(read_named(part, path)) for part in parts)
        if len(rows) != len(columns):
            raise ScanFileError(
                f"{reference}: {len(rows)} rows and {len(columns)} columns; their numbers must be equal"
            )
        values: NDArray[Any] = np.stack([rows, columns], axis=1)
    else:
        values = order_positions(read_named(reference, path))
    if values.dtype.kind not in "iuf" or values.ndim != 2 or values.shape[1] != 2:
        raise ScanFileError(
            f"{reference}: has shape {values.shape} and type {values.dtype}; positions must be real (pattern, 2)"
        )
    return values.astype(np.float64)


def order_positions(values: NDArray[Any]) -> NDArray[Any]:
    """Order positions as (pattern, 2): axes of length one and a third value are dropped, (2, pattern) transposed."""
    values = np.squeeze(values)
    if values.ndim > 2:
        values = values.reshape(-1, values.shape[-1])
    if values.ndim == 2 and values.shape[0] in (2, 3) and values.shape[1] not in (2, 3):
        values = values.T
    return values[:, :2] if values.ndim == 2 and values.shape[1] == 3 else values


def _read_mask(reference: str, path: Path, frame: tuple[int, int], name: str) -> NDArray[np.bool_]:
    """Read a mask, True on bad pixels; one with most pixels True is taken for its inverse, with a warning."""
    mask = np.squeeze(read_named(reference, path))
    if mask.dtype.kind not in "biuf":
        raise ScanFileError(f"{reference}: is of type {mask.dtype}; a mask must be numeric")
    if mask.ndim == 3 and mask.shape[-1] <= 4 and mask.shape[:2] == frame:
        mask = np.asarray(mask.any(axis=-1))
    bad: NDArray[Any] = np.logical_and(mask.astype(bool), ~np.isnan(mask))
    if np.mean(bad) > 0.5:
        _log.warning("%s: most of the mask %s is set; it is taken as the mask of good pixels", name, reference)
        bad = ~bad
    return bad


def read_file(path: Path) -> NDArray[Any]:
    """Read the only array of a file: NPY, text of numbers, an image, or a file of named arrays that contains one.

    Raises:
        ScanFileError: the file is of another kind or damaged.
    """
    first = read_start(path)
    if first.startswith(NPY_SIGNATURE):
        with explain_damage(path, "NPY file", ScanFileError), path.open("rb") as file:
            return read_array(file, path.stat().st_size)
    if is_image(path):
        return read_image(path)
    if is_text(path):
        return _read_text(path)
    with open_arrays(path) as table:
        if len(table.shapes) != 1:
            raise ScanFileError(
                f"{path}: {describe(path)} with {table.describe()}; name one of them as {path.name}:NAME"
            )
        return table.read(next(iter(table.shapes)))


def read_image(path: Path) -> NDArray[Any]:
    """Read the only image of a file as an array (row, column), or (row, column, colour); opacity is left out.

    Raises:
        ScanFileError: the file is damaged, too large, or contains several images.
    """
    with open_image(path) as image:
        if getattr(image, "n_frames", 1) > 1:
            raise ScanFileError(f"{path}: contains several images; it must contain one")
        return np.asarray(image.convert("RGB") if image.mode in _MODES_OF_COLOUR else image)


@contextlib.contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open a file of one or more images.

    Raises:
        ScanFileError: the file is damaged, or has more pixels than Pillow's limit.
    """
    try:
        with explain_damage(path, "image", ScanFileError), Image.open(path) as image:
            yield image
    except Image.DecompressionBombError as error:
        raise ScanFileError(f"{path}: is not a readable image ({summarise_error(error)})") from error


def _read_text(path: Path) -> NDArray[Any]:
    with explain_damage(path, "table of numbers", ScanFileError):
        if path.stat().st_size > _LARGEST_TEXT_BYTES:
            raise ScanFileError(f"{path}: is larger than {_LARGEST_TEXT_BYTES // 2**20} MiB, the limit for text")
        text = path.read_text(encoding="utf-8-sig")
        lines = text.replace(",", " ").replace(";", " ").replace("\t", " ").splitlines()
        # a heading without numbers may come first
        if lines and not lines[0].lstrip().startswith("#") and not _is_numeric(lines[0]):
            lines = lines[1:]
        if all(line.lstrip().startswith("#") or not line.strip() for line in lines):
            raise ValueError("no numbers")
        values: NDArray[Any] = np.loadtxt(lines, ndmin=2)
        return values


def _is_numeric(line: str) -> bool:
    try:
        [float(part) for part in line.split()]
    except ValueError:
        return False
    return True
