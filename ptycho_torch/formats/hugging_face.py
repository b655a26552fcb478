"""Data sets that the library of Hugging Face saved in a folder: a row for each pattern; nothing is downloaded.

A row has `pattern` (h, w) and `position_px`, (row, column). Patterns are read from the folder when they are used.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path

from ptycho_torch.data.recording import Recording
from ptycho_torch.errors import DataError, ScanFileError, require_extra
from ptycho_torch.formats.format import Format, RecordingReader
from ptycho_torch.formats.records import PATTERN, POSITION, describe_records
from ptycho_torch.storage.untrusted import summarise_error

_INFORMATION, _STATE = "dataset_info.json", "state.json"


@contextlib.contextmanager
def open_data_set(path: Path) -> Iterator[Recording]:
    """Open a saved data set.

    Raises:
        ScanFileError: it is damaged, or has other columns.
        MissingExtraError: the library is not installed.
    """
    require_extra("a data set of Hugging Face", "datasets", "datasets")
    library = importlib.import_module("datasets")
    try:
        # a path with an address would be fetched
        stored = library.load_from_disk(str(path.resolve())).with_format("numpy", columns=[PATTERN, POSITION])
    except Exception as error:
        reason = summarise_error(error)
        raise ScanFileError(f"{path}: is not a readable data set with {PATTERN} and {POSITION} ({reason})") from error
    try:
        recording = describe_records(stored, path.resolve().name)
    except DataError as error:
        raise ScanFileError(str(error)) from error
    yield recording


def _list_files(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.is_file())


FORMAT = Format(
    name="folders of data sets of Hugging Face",
    recognises=lambda path: path.is_dir() and all((path / name).is_file() for name in (_INFORMATION, _STATE)),
    files=_list_files,
    read=RecordingReader(open_data_set),
)
