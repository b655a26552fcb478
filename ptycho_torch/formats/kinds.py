"""Kinds of files by their first bytes, to name the true kind of one that cannot be read."""

from __future__ import annotations

from pathlib import Path

from ptycho_torch.errors import ScanFileError
from ptycho_torch.storage.untrusted import explain_damage

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
NPY_SIGNATURE = b"\x93NUMPY"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PICKLES = tuple(b"\x80" + bytes([protocol]) for protocol in (2, 3, 4, 5))
_KINDS: tuple[tuple[tuple[bytes, ...], str], ...] = (
    ((HDF5_SIGNATURE,), "an HDF5 file"),
    ((NPY_SIGNATURE,), "an NPY file, a single array"),
    ((b"PK\x03\x04", b"PK\x05\x06"), "a ZIP archive"),
    ((b"MATLAB 5.0 MAT-file",), "a MATLAB file"),
    ((b"MATLAB 7.3 MAT-file",), "a MATLAB 7.3 file"),
    ((b"\x89PNG\r\n\x1a\n",), "a PNG image"),
    ((b"\xff\xd8\xff",), "a JPEG image"),
    ((b"GIF87a", b"GIF89a"), "a GIF image"),
    ((b"BM",), "a BMP image"),
    (TIFF_SIGNATURES, "a TIFF image"),
    ((b"\x0e\x03\x13\x01",), "an HDF4 file"),
    ((b"CDF\x01", b"CDF\x02", b"CDF\x05"), "a NetCDF file"),
    ((b"SIMPLE  =",), "a FITS file"),
    ((b"###CBF",), "a CBF image"),
    ((b"%PDF",), "a PDF document"),
    ((b"\x1f\x8b",), "a gzip archive; unpack it first"),
    ((b"BZh",), "a bzip2 archive; unpack it first"),
    ((b"\xfd7zXZ\0",), "an xz archive; unpack it first"),
    ((b"7z\xbc\xaf\x27\x1c",), "a 7z archive; unpack it first"),
    ((b"Rar!",), "a RAR archive; unpack it first"),
    ((b"(\xb5/\xfd",), "a zstd archive; unpack it first"),
    ((b"\x7fELF", b"MZ"), "a program"),
    ((b"SQLite format 3\0",), "an SQLite database"),
    (_PICKLES, "a Python pickle, which is never opened because it could run code; save the arrays as NPZ"),
    ((b"MQ1,",), "a Merlin file (.mib)"),
    ((b"IMGBLO",), "a block file (.blo)"),
    ((b"version https://git-lfs",), "a pointer of Git LFS, not the data; fetch the file itself"),
    ((b"<?xml",), "an XML file"),
    ((b"<!DOCTYPE html", b"<html"), "a web page, not the data; download the file itself"),
)
_IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", *TIFF_SIGNATURES)
_TAR_PLACE = 257
_START_BYTES = 512


def read_start(path: Path) -> bytes:
    """Read the first bytes of a file.

    Raises:
        ScanFileError: it cannot be read.
    """
    with explain_damage(path, "file", ScanFileError), path.open("rb") as file:
        return file.read(_START_BYTES)


def describe(path: Path) -> str:
    """Describe a file by its first bytes, to complete "the file ...".

    Raises:
        ScanFileError: it cannot be read.
    """
    first = read_start(path)
    if not first:
        return "is empty"
    for signatures, kind in _KINDS:
        if first.startswith(signatures):
            return f"is {kind}"
    if first[_TAR_PLACE : _TAR_PLACE + 5] == b"ustar":
        return "is a tar archive; unpack it first"
    return "is a text file" if _is_printable(first) else f"begins with {first[:8]!r}"


def is_image(path: Path) -> bool:
    """Whether a file is an image of a usual kind."""
    return read_start(path).startswith(_IMAGES)


def is_text(path: Path) -> bool:
    """Whether a file begins with text."""
    first = read_start(path)
    return bool(first) and _is_printable(first)


def _is_printable(first: bytes) -> bool:
    try:
        text = first[:-4].decode() if len(first) == _START_BYTES else first.decode()
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter in "\r\n\t\ufeff" for letter in text)
