"""Zip archives, of arrays too: read without believing what they claim; equal content is written as equal bytes.

What is read raises the errors that `claims.reading` turns into one.
"""

from __future__ import annotations

import io
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Collection, Mapping
from typing import IO, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.storage.npy import map_array, read_array
from ptycho_torch.storage.untrusted import LARGEST_BYTES, abbreviate, check_declared_size

_SUFFIX = ".npy"
_MOST_MEMBERS = 1000
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
_LOCAL_HEADER_BYTES = 30


def read_members(file: IO[bytes], largest_bytes: int = LARGEST_BYTES) -> dict[str, bytes]:
    """All members by name; entries of folders are left out.

    Args:
        file: the archive.
        largest_bytes: how much it may unpack to.

    Raises:
        ValueError: it claims more than it can hold, or holds something that an honest archive does not.
    """
    with zipfile.ZipFile(file) as archive:
        members = _checked(archive, file, largest_bytes)
        contents = {name: archive.read(member) for name, member in members.items()}
    for name, member in members.items():
        if len(contents[name]) != member.file_size:
            raise ValueError(f"{abbreviate(name)} is shorter than it claims")
    return contents


def read_arrays(file: IO[bytes], largest_bytes: int = LARGEST_BYTES) -> dict[str, NDArray[Any]]:
    """All arrays by name; members other than `*.npy` are left out.

    Raises:
        ValueError: see `read_members`; or an array is none, or holds objects.
    """
    with zipfile.ZipFile(file) as archive:
        members = _checked(archive, file, largest_bytes)
        return {name.removesuffix(_SUFFIX): _read(archive, members[name]) for name in members if name.endswith(_SUFFIX)}


def map_arrays(file: IO[bytes], keys: Collection[str]) -> dict[str, NDArray[Any]]:
    """Map those of the named arrays that there are, read-only; a mapping ends with the last reference to it.

    Members that are compressed are unpacked to a temporary file that has no name and is gone with its mapping. Values
    that are mapped are not covered by the check sums of the file.

    Raises:
        ValueError: see `read_arrays`.
    """
    with zipfile.ZipFile(file) as archive:
        members = _checked(archive, file, LARGEST_BYTES)
        return {key: _map(file, archive, members[key + _SUFFIX]) for key in keys if key + _SUFFIX in members}


def write_members(members: Mapping[str, bytes], file: BinaryIO) -> None:
    """Write an archive without compression or times."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name), members[name])


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An archive of arrays."""
    members = {}
    for name, array in arrays.items():
        stream = io.BytesIO()
        np.lib.format.write_array(stream, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)
        members[name + _SUFFIX] = stream.getvalue()
    archive = io.BytesIO()
    write_members(members, archive)
    return archive.getvalue()


def _checked(archive: zipfile.ZipFile, file: IO[bytes], largest_bytes: int) -> dict[str, zipfile.ZipInfo]:
    entries = [entry for entry in archive.infolist() if not (entry.is_dir() and entry.file_size == 0)]
    if len(entries) > _MOST_MEMBERS:
        raise ValueError(f"it holds {len(entries)} members; at most {_MOST_MEMBERS} are read")
    file_bytes = file.seek(0, io.SEEK_END)
    members: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        name = entry.orig_filename
        if name in members:
            raise ValueError(f"it holds {abbreviate(name)} twice")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise ValueError(f"{abbreviate(name)} is a link")
        if entry.flag_bits & _ENCRYPTED:
            raise ValueError(f"{abbreviate(name)} is encrypted")
        check_declared_size(name, entry.file_size, min(entry.compress_size, file_bytes), largest_bytes)
        if entry.compress_type not in _COMPRESSIONS:
            raise ValueError(f"{abbreviate(name)} is compressed in a way other than deflate")
        members[name] = entry
    check_declared_size("all of it together", sum(entry.file_size for entry in entries), file_bytes, largest_bytes)
    return members


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as file:
        return read_array(file, member.file_size)


def _map(file: IO[bytes], archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    if member.compress_type == zipfile.ZIP_STORED:
        return map_array(file, _data_offset(file, member), member.file_size)
    with tempfile.TemporaryFile() as staged:
        with archive.open(member) as packed:
            shutil.copyfileobj(packed, staged)
        staged.flush()
        return map_array(cast("IO[bytes]", staged), 0, staged.tell())


def _data_offset(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Where the member's bytes start: its local header may be longer than the directory at the end says."""
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER_BYTES)
    if len(header) < _LOCAL_HEADER_BYTES or header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile(f"no local header of {abbreviate(member.filename)}")
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return member.header_offset + _LOCAL_HEADER_BYTES + lengths
