"""Arrays of an NPZ file without reading them: mapped into memory where they lie in the file.

Members that are compressed cannot be mapped; they are unpacked to a temporary file that has no name and is gone when
nobody uses it any more. Values that are mapped are not covered by the check sums of the file.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.errors import ScanFileError
from ptycho_torch.storage.claims import LARGEST_ARRAY_BYTES
from ptycho_torch.storage.npy import DAMAGE, Header, check_members, damaged

_LOCAL_HEADER_BYTES = 30
_ENCRYPTED = 1


def map_arrays(path: Path, keys: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Map those of the named arrays that the file holds, read-only; a mapping ends with the last reference to it.

    Raises:
        ScanFileError: the file is missing or damaged, or an array is absurdly large or holds pickled objects.
    """
    if not path.is_file():
        raise ScanFileError(f"{path}: there is no such file")
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            members = {key: archive.getinfo(f"{key}.npy") for key in keys if f"{key}.npy" in names}
            check_members(members.values(), path.stat().st_size)
            return {key: _mapped(file, archive, member) for key, member in members.items()}
    except DAMAGE as error:
        raise damaged(path, "NPZ", error) from error


def without_bad_pixels(stored: NDArray[Any], good: NDArray[np.bool_]) -> NDArray[Any]:
    """Patterns (pattern, N, N) with zeros outside the good pixels (N, N), mapped from a temporary nameless file."""
    if good.all() or stored.size == 0:
        return stored
    with tempfile.TemporaryFile() as staged:
        cleaned = np.memmap(staged, stored.dtype, "w+", 0, stored.shape)
        for pattern, kept in zip(stored, cleaned, strict=True):
            kept[...] = np.where(good, pattern, np.zeros((), stored.dtype))
        return cleaned


def _mapped(file: IO[bytes], archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    if member.file_size > LARGEST_ARRAY_BYTES:
        raise ValueError(f"{member.filename} claims {member.file_size / 2**30:.0f} GiB; at most 64 GiB are read")
    if member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & _ENCRYPTED:
        return _map(file, _data_offset(file, member), member.file_size)
    with tempfile.TemporaryFile() as staged:
        with archive.open(member) as packed:
            shutil.copyfileobj(packed, staged)
        staged.flush()
        return _map(cast("IO[bytes]", staged), 0, staged.tell())


def _data_offset(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Where the member's bytes start: its local header may be longer than the directory at the end says."""
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER_BYTES)
    if len(header) < _LOCAL_HEADER_BYTES or header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile(f"no local header of {member.filename}")
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return member.header_offset + _LOCAL_HEADER_BYTES + lengths


def _map(file: IO[bytes], start: int, size: int) -> NDArray[Any]:
    """Map an NPY file that lies at `start` inside another."""
    file.seek(start)
    header = Header.read(file, size)
    if 0 in header.shape:
        return np.empty(header.shape, header.dtype)
    return np.memmap(file, header.dtype, "r", file.tell(), header.shape, "F" if header.in_columns else "C")
