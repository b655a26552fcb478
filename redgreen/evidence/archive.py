"""Archives of plain files in memory: the same files give the same bytes, and none is trusted when it is read."""

from __future__ import annotations

import io
import lzma
import re
import tarfile
from collections.abc import Mapping
from typing import Final

MOST_BYTES: Final = 256 * 1024 * 1024  # of an archive, unpacked
MOST_MEMBERS: Final = 100_000
MEMORY_BYTES: Final = 64 * 1024 * 1024  # that the decoder may take
NAME: Final = re.compile(r"(?!\.{1,2}(?:/|\Z))[^/\\\x00-\x1f\x7f]+(?:/(?!\.{1,2}(?:/|\Z))[^/\\\x00-\x1f\x7f]+)*\Z")
# spelled out, so that a default of the library cannot change the bytes
FILTERS: Final = ({"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 8 * 1024 * 1024},)


def make_archive(files: Mapping[str, bytes]) -> bytes:
    """Pack files, by name, into a tar.xz that depends on nothing else.

    Raises:
        ValueError: A name is not that of a plain file, or there is too much to read again.
    """
    data = _make_tar(files)
    if len(data) > MOST_BYTES or len(files) > MOST_MEMBERS:
        raise ValueError(f"{len(files)} files of {len(data) / 1e6:.0f} MB are too much for one archive")
    return lzma.compress(data, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC64, filters=FILTERS)


def read_archive(data: bytes, name: str) -> dict[str, bytes]:
    """Unpack an archive in memory.

    Only what `make_archive` makes is taken: plain files with plain names, in order, each once, nothing between them.

    Raises:
        ValueError: It holds anything else, or is too large; the message begins with `name`.
    """
    try:
        tar = _decompress(data)
        files = _read_members(tar)
        if _make_tar(files) != tar:
            raise ValueError("it is not packed as redgreen packs")
    except (ValueError, ArithmeticError, LookupError, EOFError, OSError, lzma.LZMAError, tarfile.TarError) as error:
        raise ValueError(f"{name} cannot be unpacked: {error}") from None
    return files


def _make_tar(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            _check_name(name)
            member = tarfile.TarInfo(name)
            member.size = len(files[name])  # the rest is fixed by TarInfo: mode 644, no owner, no time
            archive.addfile(member, io.BytesIO(files[name]))
    return stream.getvalue()


def _decompress(data: bytes) -> bytes:
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY_BYTES)
    tar = decoder.decompress(data, MOST_BYTES + 1)
    if len(tar) > MOST_BYTES:
        raise ValueError(f"it holds more than {MOST_BYTES // 1024**2} MiB")
    if not decoder.eof:
        raise ValueError("it is cut short")
    if decoder.unused_data:
        raise ValueError("something follows its end")
    return tar


def _read_members(tar: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as archive:
        for member in archive:
            if member.type != tarfile.REGTYPE or member.issparse():
                raise ValueError(f"{member.name!r:.80} is not a plain file")
            _check_name(member.name)
            end = member.offset_data + member.size
            if member.name in files or len(files) >= MOST_MEMBERS or not member.offset_data <= end <= len(tar):
                raise ValueError(f"{member.name!r:.80} is there twice, cut short, or one too many")
            files[member.name] = tar[member.offset_data : end]
    return files


def _check_name(name: str) -> None:
    if not NAME.match(name):
        raise ValueError(f"{name!r:.80} is not the name of a file in a report")
