"""Zip archives and NPZ arrays from outside: nothing that they claim is believed, nothing is written to disk."""

from __future__ import annotations

import ast
import io
import math
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.errors import BundleError
from ptycho_torch.storage.claims import shown

_LARGEST_BYTES = 2**32
_MOST_MEMBERS = 1000
# small members may be as repetitive as they like
_LARGEST_EXPANSION = 100
_SMALL_BYTES = 2**20
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
_TYPES = {"float32": "<f4", "complex64": "<c8", "int64": "<i8"}
_MAGIC = b"\x93NUMPY\x01\x00"
_LONGEST_HEADER = 2**12
_DAMAGE: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    OverflowError,
)
_DAMAGE += (NotImplementedError, RuntimeError, MemoryError)


def read_members(file: BinaryIO) -> dict[str, bytes]:
    """All members of an archive by name; entries of folders are left out.

    Raises:
        BundleError: it is damaged, too large, or holds something that an honest archive does not.
    """
    if file.seek(0, io.SEEK_END) > _LARGEST_BYTES:
        raise BundleError(f"is larger than {_LARGEST_BYTES // 2**30} GiB")
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if not (member.is_dir() and member.file_size == 0)]
            _check_members(members)
            contents = {member.orig_filename: archive.read(member) for member in members}
    except _DAMAGE as error:
        raise BundleError(f"is damaged ({type(error).__name__})") from error
    for member in members:
        if len(contents[member.orig_filename]) != member.file_size:
            raise BundleError(f"is damaged: {member.filename} is shorter than it claims")
    return contents


def read_arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an NPZ archive, all of them finite numbers of the kinds that weights have.

    Raises:
        BundleError: it is damaged or holds anything else.
    """
    members = read_members(io.BytesIO(content))
    if not members:
        raise BundleError("holds no arrays")
    return {name.removesuffix(".npy"): _array(name, stored) for name, stored in members.items()}


def write_members(members: Mapping[str, bytes], file: BinaryIO) -> None:
    """An archive without compression or times, so that equal members give equal bytes."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name), members[name])


def array_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An NPZ archive of arrays; equal arrays give equal bytes."""
    members = {}
    for name, array in arrays.items():
        stream = io.BytesIO()
        np.lib.format.write_array(stream, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)
        members[f"{name}.npy"] = stream.getvalue()
    archive = io.BytesIO()
    write_members(members, archive)
    return archive.getvalue()


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    if len(members) > _MOST_MEMBERS:
        raise BundleError(f"holds {len(members)} members; at most {_MOST_MEMBERS} are read")
    if sum(member.file_size for member in members) > _LARGEST_BYTES:
        raise BundleError(f"claims to hold more than {_LARGEST_BYTES // 2**30} GiB")
    names = set()
    for member in members:
        name = member.orig_filename
        if name in names:
            raise BundleError(f"holds {shown(name)} twice")
        names.add(name)
        if stat.S_ISLNK(member.external_attr >> 16):
            raise BundleError(f"is not read: {shown(name)} is a link")
        if member.flag_bits & _ENCRYPTED:
            raise BundleError(f"is not read: {shown(name)} is encrypted")
        if member.compress_type not in _COMPRESSIONS:
            raise BundleError(f"is not read: {shown(name)} is compressed in a way other than deflate")
        if member.file_size > max(_SMALL_BYTES, _LARGEST_EXPANSION * member.compress_size):
            raise BundleError(f"is not read: {shown(name)} expands more than {_LARGEST_EXPANSION} times")


def _array(name: str, content: bytes) -> NDArray[Any]:
    try:
        dtype, order, shape, start = _header(name, content)
        body = content[start:]
        if not body or math.prod(shape) * dtype.itemsize != len(body):
            raise ValueError("another size than its header says")
        array = np.frombuffer(body, dtype).reshape(shape, order=order)
    except (ValueError, TypeError, KeyError, SyntaxError, RecursionError, MemoryError, struct.error) as error:
        kinds = ", ".join(_TYPES)
        reason = str(error).splitlines()[0][:60] if str(error) else type(error).__name__
        raise BundleError(f"holds {shown(name)}, which is no array of {kinds} ({reason})") from error
    if not np.isfinite(array).all():
        raise BundleError(f"holds {shown(name)}, whose values are not finite")
    return array


def _header(name: str, content: bytes) -> tuple[np.dtype[Any], Literal["C", "F"], tuple[int, ...], int]:
    """Type, order, shape and begin of an array's values, by the letter of NumPy's format, version 1.0."""
    if not name.endswith(".npy") or not content.startswith(_MAGIC):
        raise ValueError("not in NumPy's format, version 1.0")
    (length,) = struct.unpack_from("<H", content, len(_MAGIC))
    start = len(_MAGIC) + 2
    if length > _LONGEST_HEADER:
        raise ValueError("a header of that length")
    header = ast.literal_eval(content[start : start + length].decode("latin1"))
    kind, columns_first, shape = header["descr"], header["fortran_order"], header["shape"]
    if kind not in _TYPES.values():
        raise ValueError(f"type {kind!r}")
    if type(shape) is not tuple or any(type(side) is not int for side in shape):
        raise ValueError("an unusable shape")
    return np.dtype(kind), "F" if columns_first else "C", shape, start + length
