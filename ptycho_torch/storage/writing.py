"""Atomic writes, and folders for results that are never replaced unasked."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ptycho_torch.errors import OutputError

# lies in a folder while a run writes to it
LOCK_NAME = ".lock"
# the record of a run, by which its folder is known
RECORD_NAME = "run.json"
_PART = ".part"


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`, which is renamed to `path` once the block has ended without an error.

    Raises:
        OutputError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{_PART}")
    try:
        with explain_failure(path):
            make_folder(path.parent)
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Create a folder and those that contain it, also hundreds of them; raises OSError if one cannot be created."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to the disk, after a file was renamed; not all file systems can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def explain_failure(path: Path) -> Iterator[None]:
    """Turn errors of the system inside the block into an OutputError about a file or folder."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


def write_json(values: Any, path: Path) -> None:  # noqa: ANN401 - whatever JSON can contain
    """Write indented JSON, atomically; numbers that are not finite, which JSON cannot contain, become null."""
    text = json.dumps(_replace_infinite(values), indent=2, ensure_ascii=False, allow_nan=False)
    with write_atomically(path) as file:
        # a name of a file that is not text is written as its bytes
        file.write(f"{text}\n".encode(errors="backslashreplace"))


def _replace_infinite(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {key: _replace_infinite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_replace_infinite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Check that results can be written to a folder, without changing it.

    Raises:
        OutputError: it is in use and `overwrite` is False, it is not the folder of a run, or it cannot be written.
    """
    with explain_failure(folder):
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder}: is a file; results must be written to a folder")
        if folder.is_dir() and any(entry.name != LOCK_NAME and not _is_left(entry) for entry in folder.iterdir()):
            if not overwrite:
                raise OutputError(f"{folder}: is not empty; name another folder or add --overwrite")
            if not (folder / RECORD_NAME).is_file():
                raise OutputError(f"{folder}: contains files but no {RECORD_NAME} of a run; name another folder")
        check_writable(folder)


def check_writable(path: Path) -> None:
    """Raise OutputError if a file or folder cannot be created, as far as this is known before it is tried."""
    place = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if place != path and not place.is_dir():
        raise OutputError(f"{path}: cannot be written ({place} is a file)")
    if not os.access(place, os.W_OK):
        raise OutputError(f"{path}: cannot be written ({os.strerror(errno.EACCES)})")


def prepare_folder(folder: Path, *, overwrite: bool) -> None:
    """Create a folder for results, or empty it if `overwrite` is True.

    Raises:
        OutputError: see `check_folder`.
    """
    check_folder(folder, overwrite=overwrite)
    with explain_failure(folder):
        make_folder(folder)
        # the record last, so that the folder is known as that of a run until it is empty
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name == RECORD_NAME):
            if entry.name == LOCK_NAME:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        trial = folder / f".{uuid.uuid4().hex}{_PART}"
        trial.touch()
        trial.unlink()


def remove_left(folder: Path) -> None:
    """Remove the temporary files that a lost process has left in a folder.

    Raises:
        OutputError: one of them cannot be removed.
    """
    with explain_failure(folder):
        for entry in folder.iterdir():
            if _is_left(entry):
                entry.unlink()


def _is_left(entry: Path) -> bool:
    """Whether a file is one that a process was writing when it was lost."""
    return entry.name.startswith(".") and entry.name.endswith(_PART)
