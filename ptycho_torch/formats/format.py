"""File formats as rows of the table by which paths are recognised."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from ptycho_torch.config import DataSettings
from ptycho_torch.data.assemble import assemble
from ptycho_torch.data.recording import Recording
from ptycho_torch.data.scan import Scan
from ptycho_torch.formats.kinds import read_start
from ptycho_torch.formats.named import replace_named


class Reader(Protocol):
    """Reads the scan at a path; a given probe replaces that of the scan."""

    def __call__(
        self, path: Path, /, settings: DataSettings | None = None, *, probe: NDArray[Any] | None = None
    ) -> Scan:
        """Read the scan, or raise ScanFileError, ConfigError or DataError."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of measured scans.

    Attributes:
        name: what messages tell users to name, with its article.
        recognises: whether a path is in this format, by the first bytes of a file or the contents of a folder.
        files: lists the files of the scan at a path. Raises ScanFileError if one is missing.
        read: reads the scan at a path.
        write: writes a scan to a path; None if the format is only read.
        endings: endings of files that are one scan each, even if they are damaged; if there are none, a scan is a
            folder, which may be named by a recognised file in it.
    """

    name: str
    recognises: Callable[[Path], bool]
    files: Callable[[Path], list[Path]]
    read: Reader
    write: Callable[[Scan, Path], None] | None = None
    endings: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecordingReader:
    """The reader of a format that opens its files as recordings.

    Attributes:
        open: opens the scan at a path.
        check: raises ConfigError if settings contradict what the format states; None if none do.
    """

    open: Callable[[Path], AbstractContextManager[Recording]]
    check: Callable[[DataSettings], None] | None = None

    @contextlib.contextmanager
    def open_recording(self, path: Path, settings: DataSettings) -> Iterator[Recording]:
        """Open the scan at a path, with the arrays that the settings name in place of its own.

        Raises:
            ScanFileError: a file is missing or damaged, or an array that the settings name does not exist.
            ConfigError: a setting contradicts the format.
        """
        if self.check is not None:
            self.check(settings)
        with self.open(path) as recording:
            yield replace_named(recording, path, settings)

    def __call__(
        self, path: Path, /, settings: DataSettings | None = None, *, probe: NDArray[Any] | None = None
    ) -> Scan:
        """Read the scan, as a `Reader` does."""
        settings = settings or DataSettings()
        with self.open_recording(path, settings) as recording:
            return assemble(recording, settings, probe)


def starts_with(path: Path, *signatures: bytes) -> bool:
    """Whether a path is a file that begins with one of the signatures.

    Raises:
        ScanFileError: the file cannot be read.
    """
    return path.is_file() and read_start(path).startswith(signatures)
