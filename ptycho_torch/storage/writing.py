"""Writing files so that nothing is lost: whole or not at all, and never over something else unasked."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ptycho_torch.errors import OutputError


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its name only when everything was written.

    Raises:
        OutputError: it cannot be written there.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_json(values: Any, path: Path) -> None:  # noqa: ANN401 - whatever JSON can hold
    """Write readable JSON, whole or not at all."""
    with write_atomically(path) as file:
        file.write((json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Check that a folder can take results, and touch nothing.

    Raises:
        OutputError: it holds something already and `overwrite` is off, no run wrote it, or it cannot be written.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder}: is a file; a folder is needed for the results")
        if folder.is_dir() and any(folder.iterdir()):
            if not overwrite:
                raise OutputError(f"{folder}: is not empty; name another folder or add --overwrite")
            if not (folder / "run.json").is_file():
                raise OutputError(f"{folder}: holds files but no run.json of an earlier run; name another folder")
        check_writable(folder)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error


def check_writable(path: Path) -> None:
    """Raise OutputError where a file or folder cannot be made, as far as can be told without making it."""
    place = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if place != path and not place.is_dir():
        raise OutputError(f"{path}: cannot be written ({place} is a file)")
    if not os.access(place, os.W_OK):
        raise OutputError(f"{path}: cannot be written ({os.strerror(errno.EACCES)})")


def prepare_folder(folder: Path, *, overwrite: bool) -> None:
    """Make a folder for results, or empty it where that was asked for.

    Raises:
        OutputError: it holds something already and `overwrite` is off, no run wrote it, or it cannot be made.
    """
    check_folder(folder, overwrite=overwrite)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        probe = folder / f".{uuid.uuid4().hex}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error
