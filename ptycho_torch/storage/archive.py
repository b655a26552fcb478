"""Zip archives of arrays and other members: checked before they are read, written as equal bytes for equal content.

Damaged archives raise the errors that `untrusted.explain_damage` turns into one.
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

from ptycho_torch.storage.npy import map_array, read_array, read_header
from ptycho_torch.storage.untrusted import LARGEST_BYTES, abbreviate, check_declared_size

_SUFFIX = ".npy"
_MOST_MEMBERS = 1000
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
_LOCAL_HEADER_BYTES = 30
_LARGEST_READ = 2**26


def read_members(file: IO[bytes], largest_bytes: int = LARGEST_BYTES) -> dict[str, bytes]:
    """Read all members by name, without entries for folders.

    Args:
        file: the archive.
        largest_bytes: limit on the unpacked size.

    Raises:
        ValueError: declared sizes do not fit the archive, or a member is a link, encrypted, repeated or unsupported.
    """
    with zipfile.ZipFile(file) as archive:
        members = _check_members(archive, file, largest_bytes)
        contents = {name: archive.read(member) for name, member in members.items()}
    for name, member in members.items():
        if len(contents[name]) != member.file_size:
            raise ValueError(f"{abbreviate(name)} is shorter than its declared size")
    return contents


def read_arrays(file: IO[bytes], largest_bytes: int = LARGEST_BYTES) -> dict[str, NDArray[Any]]:
    """Read all arrays by name; members other than `*.npy` are ignored.

    Raises:
        ValueError: see `read_members`; or a member is not an array, or contains objects.
    """
    with zipfile.ZipFile(file) as archive:
        members = _check_members(archive, file, largest_bytes)
        arrays = {}
        for name, member in members.items():
            if name.endswith(_SUFFIX):
                with archive.open(member) as stream:
                    arrays[name.removesuffix(_SUFFIX)] = read_array(stream, member.file_size)
    return arrays


def map_arrays(file: IO[bytes], keys: Collection[str]) -> dict[str, NDArray[Any]]:
    """Map the named arrays that the archive contains, read-only; a mapping ends with the last reference to it.

    Compressed members are unpacked to a temporary file, which is removed with its mapping. The checksums of the archive
    are not compared with mapped values.

    Raises:
        ValueError: see `read_arrays`.
    """
    with zipfile.ZipFile(file) as archive:
        members = _check_members(archive, file, LARGEST_BYTES)
        return {key: _map(file, archive, members[key + _SUFFIX]) for key in keys if key + _SUFFIX in members}


def load_array(file: IO[bytes], key: str) -> NDArray[Any] | None:
    """Read an array with its checksum, or map it if it is larger than 256 MiB; None if the archive lacks it.

    Raises:
        ValueError: see `read_arrays`.
    """
    with zipfile.ZipFile(file) as archive:
        member = _check_members(archive, file, LARGEST_BYTES).get(key + _SUFFIX)
        if member is None:
            return None
        if member.file_size > _LARGEST_READ:
            return _map(file, archive, member)
        with archive.open(member) as stream:
            return read_array(stream, member.file_size)


def list_arrays(file: IO[bytes]) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """List shape and type of the arrays by name, without their values.

    Raises:
        ValueError: see `read_arrays`.
    """
    with zipfile.ZipFile(file) as archive:
        found = {}
        for name, member in _check_members(archive, file, LARGEST_BYTES).items():
            if name.endswith(_SUFFIX):
                with archive.open(member) as stream:
                    shape, _, dtype = read_header(stream, member.file_size)
                found[name.removesuffix(_SUFFIX)] = (shape, dtype)
    return found


def write_members(members: Mapping[str, bytes], file: BinaryIO) -> None:
    """Write an archive without compression and times."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name), members[name])


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Pack arrays into an archive; returns its bytes."""
    members = {}
    for name, array in arrays.items():
        stream = io.BytesIO()
        np.lib.format.write_array(stream, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)
        members[name + _SUFFIX] = stream.getvalue()
    archive = io.BytesIO()
    write_members(members, archive)
    return archive.getvalue()


def _check_members(archive: zipfile.ZipFile, file: IO[bytes], largest_bytes: int) -> dict[str, zipfile.ZipInfo]:
    """Check the directory of an archive; returns its members by name."""
    entries = [entry for entry in archive.infolist() if not (entry.is_dir() and entry.file_size == 0)]
    if len(entries) > _MOST_MEMBERS:
        raise ValueError(f"it contains {len(entries)} members; the limit is {_MOST_MEMBERS}")
    file_bytes = file.seek(0, io.SEEK_END)
    members: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        name = entry.orig_filename
        if name in members:
            raise ValueError(f"it contains {abbreviate(name)} twice")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise ValueError(f"{abbreviate(name)} is a link")
        if entry.flag_bits & _ENCRYPTED:
            raise ValueError(f"{abbreviate(name)} is encrypted")
        check_declared_size(name, entry.file_size, min(entry.compress_size, file_bytes), largest_bytes)
        if entry.compress_type not in _COMPRESSIONS:
            raise ValueError(f"{abbreviate(name)} must be stored or compressed by deflate")
        members[name] = entry
    check_declared_size("the archive as a whole", sum(entry.file_size for entry in entries), file_bytes, largest_bytes)
    return members


def _map(file: IO[bytes], archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    if member.compress_type == zipfile.ZIP_STORED:
        return map_array(file, _find_data(file, member), member.file_size)
    with tempfile.TemporaryFile() as staged:
        with archive.open(member) as packed:
            shutil.copyfileobj(packed, staged)
        staged.flush()
        return map_array(cast("IO[bytes]", staged), 0, staged.tell())


def _find_data(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Find where the bytes of a member begin; only its local header states how long that header is."""
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER_BYTES)
    if len(header) < _LOCAL_HEADER_BYTES or header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile(f"{abbreviate(member.filename)} has no local header")
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return member.header_offset + _LOCAL_HEADER_BYTES + lengths
