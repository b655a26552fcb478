"""What a file format is: a row of the table by which a path is recognised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from ptycho_torch.config.schema import DataSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ScanFileError
from ptycho_torch.storage.untrusted import explain_damage

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SHOWN_BYTES = 8


class Reader(Protocol):
    """Reads the scan at a path; a probe that is given replaces the scan's own."""

    def __call__(
        self, path: Path, /, settings: DataSettings | None = None, *, probe: NDArray[Any] | None = None
    ) -> Scan:
        """Read it, or raise a ScanFileError, ConfigError or DataError."""
        ...


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of measured scans.

    Attributes:
        name: what a user may name, with its article, as messages list it.
        recognises: whether a file, by its first bytes, or a folder, by what it holds, is in this format.
        files: the files of the scan at a path. Raises ScanFileError where one is missing.
        read: reads the scan at a path.
        write: writes a scan to a path; None where the format is only read.
        endings: of the files in a folder that are a scan each, sound or not. Without any, a scan is a whole folder,
            which a recognised file in it stands for.
    """

    name: str
    recognises: Callable[[Path], bool]
    files: Callable[[Path], list[Path]]
    read: Reader
    write: Callable[[Scan, Path], None] | None = None
    endings: tuple[str, ...] = ()


def starts_with(path: Path, *signatures: bytes) -> bool:
    """Whether a path is a file that begins with one of some bytes.

    Raises:
        ScanFileError: the file cannot be read.
    """
    return path.is_file() and _first_bytes(path, max(map(len, signatures))).startswith(signatures)


def describe(path: Path) -> str:
    """What a file is by its first bytes, to complete "the file ...".

    Raises:
        ScanFileError: it cannot be read.
    """
    if starts_with(path, HDF5_SIGNATURE):
        return "is an HDF5 file"
    first = _first_bytes(path, _SHOWN_BYTES)
    return f"begins with {first!r}" if first else "is empty"


def _first_bytes(path: Path, length: int) -> bytes:
    with explain_damage(path, "file", ScanFileError), path.open("rb") as file:
        return file.read(length)
