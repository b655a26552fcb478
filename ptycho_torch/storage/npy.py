"""Arrays in NumPy's format from untrusted files: the header is checked against the bytes that follow it."""

from __future__ import annotations

import math
import tempfile
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_VERSIONS = ((1, 0), (2, 0), (3, 0))


def read_header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read shape, order (True for Fortran's) and type of an array of `size` bytes; leaves the file at the values.

    Raises:
        ValueError: this is not an array, it contains objects, or its values do not have the size that is left.
    """
    start = file.tell()
    version = npy.read_magic(file)
    if version not in _VERSIONS:
        raise ValueError(f"version {version} of NumPy's format is unsupported")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, in_columns, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("arrays of objects would have to be unpickled")
    left = size - (file.tell() - start)
    if min(shape, default=0) < 0 or dtype.itemsize == 0 or math.prod(shape) * dtype.itemsize != left:
        raise ValueError(f"an array of shape {shape} and type {dtype} does not fill its {left} bytes")
    return shape, in_columns, dtype


def read_array(file: IO[bytes], size: int) -> NDArray[Any]:
    """Read the array in the first `size` bytes of a file.

    Raises:
        ValueError: see `read_header`.
    """
    read_header(file, size)
    file.seek(0)
    values: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return values


def map_array(file: IO[bytes], start: int, size: int) -> NDArray[Any]:
    """Map the array in the `size` bytes from `start`, read-only.

    Raises:
        ValueError: see `read_header`.
    """
    file.seek(start)
    shape, in_columns, dtype = read_header(file, size)
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(file, dtype, "r", file.tell(), shape, "F" if in_columns else "C")


def clear_bad_pixels(stored: NDArray[Any], good: NDArray[np.bool_]) -> NDArray[Any]:
    """Set patterns (pattern, N, N) to zero outside the good pixels (N, N), in a mapped temporary file."""
    if good.all() or stored.size == 0:
        return stored
    with tempfile.TemporaryFile() as staged:
        cleared = np.memmap(staged, stored.dtype, "w+", 0, stored.shape)
        for pattern, kept in zip(stored, cleared, strict=True):
            kept[...] = np.where(good, pattern, np.zeros((), stored.dtype))
        return cleared
