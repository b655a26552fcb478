"""Arrays in NumPy's format and archives of them, from outside: nothing that they claim is believed."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ptycho_torch.errors import ScanFileError
from ptycho_torch.storage.claims import is_backed, reason, shown

# what the system, zipfile, zlib and numpy raise when a file is not what it claims to be
DAMAGE: tuple[type[Exception], ...] = (OSError, ValueError, TypeError, EOFError, RuntimeError, SyntaxError, MemoryError)
DAMAGE += (OverflowError, LookupError, zipfile.BadZipFile, zlib.error, tokenize.TokenError)
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
        ValueError: see `Header.read`; and whatever else `DAMAGE` names.
    """
    Header.read(file, size)
    file.seek(0)
    values: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return values


def check_members(members: Collection[zipfile.ZipInfo], file_bytes: int) -> None:
    """Raise ValueError where members of an archive cannot unpack to what they claim, alone or together."""
    for member in members:
        if not is_backed(member.file_size, min(member.compress_size, file_bytes)):
            raise ValueError(f"{shown(member.filename)} claims {member.file_size / 2**20:.0f} MiB that nothing backs")
    if not is_backed(sum(member.file_size for member in members), file_bytes):
        raise ValueError("its members claim more together than the file can hold")


def damaged(path: Path, kind: str, error: Exception) -> ScanFileError:
    """The error that says why a file of some kind could not be read."""
    problem = "holds pickled objects" if "unpickled" in str(error) else f"is not a readable {kind} file"
    return ScanFileError(f"{path}: {problem} ({reason(error)})")
