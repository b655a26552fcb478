"""Arrays in NumPy's format from outside: nothing that they claim is believed."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_VERSIONS = ((1, 0), (2, 0), (3, 0))


@dataclass(frozen=True)
class Header:
    """What the header of an array says, once it is known to fit the bytes behind it."""

    shape: tuple[int, ...]
    in_columns: bool
    dtype: np.dtype[Any]

    @classmethod
    def read(cls, file: IO[bytes], size: int) -> Header:
        """Read the header of an array that takes `size` bytes with it; the file then stands at the values.

        Raises:
            ValueError: it is none, holds objects, or the values it promises are not as large as what is left.
        """
        start = file.tell()
        version = npy.read_magic(file)
        if version not in _VERSIONS:
            raise ValueError(f"version {version} of NumPy's format")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, in_columns, dtype = read(file)
        if dtype.hasobject:
            raise ValueError("arrays of objects would have to be unpickled")
        left = size - (file.tell() - start)
        if min(shape, default=0) < 0 or dtype.itemsize == 0 or math.prod(shape) * dtype.itemsize != left:
            raise ValueError(f"an array of shape {shape} and type {dtype} does not fill the {left} bytes it has")
        return cls(shape, in_columns, dtype)


def read_array(file: IO[bytes], size: int) -> NDArray[Any]:
    """The array that takes the first `size` bytes of a file.

    Raises:
        ValueError: see `Header.read`.
    """
    Header.read(file, size)
    file.seek(0)
    values: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return values


def map_array(file: IO[bytes], start: int, size: int) -> NDArray[Any]:
    """Map an array that takes `size` bytes from `start` inside of a file, read-only.

    Raises:
        ValueError: see `Header.read`.
    """
    file.seek(start)
    header = Header.read(file, size)
    if 0 in header.shape:
        return np.empty(header.shape, header.dtype)
    return np.memmap(file, header.dtype, "r", file.tell(), header.shape, "F" if header.in_columns else "C")


def clear_bad_pixels(stored: NDArray[Any], good: NDArray[np.bool_]) -> NDArray[Any]:
    """Patterns (pattern, N, N) with zeros outside the good pixels (N, N), mapped from a temporary nameless file."""
    if good.all() or stored.size == 0:
        return stored
    with tempfile.TemporaryFile() as staged:
        cleaned = np.memmap(staged, stored.dtype, "w+", 0, stored.shape)
        for pattern, kept in zip(stored, cleaned, strict=True):
            kept[...] = np.where(good, pattern, np.zeros((), stored.dtype))
        return cleaned
