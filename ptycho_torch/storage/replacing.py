"""Folders that are written as a whole: a complete one takes the place of an earlier one, or nothing changes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from ptycho_torch.errors import OutputError
from ptycho_torch.storage.writing import check_writable, explain_failure, make_folder

_NEW, _OLD = ".part", ".old"


@contextlib.contextmanager
def replace_folder(folder: Path, *, overwrite: bool, known_by: str) -> Iterator[Path]:
    """Create a folder beside `folder`, which is renamed to it once the block has ended without an error.

    What a lost process has left is removed first; if it was lost while it replaced the folder, the earlier one returns.

    Args:
        folder: a folder that does not exist, or is empty, unless `overwrite`.
        overwrite: whether to replace an earlier folder.
        known_by: the file by which such a folder is known; one without it is not replaced.

    Raises:
        OutputError: the folder exists, is another kind of folder, or cannot be written.
    """
    stem = f".{folder.name}.{uuid.uuid4().hex}"
    new, old = folder.with_name(stem + _NEW), folder.with_name(stem + _OLD)
    check_writable(folder)
    with explain_failure(folder), contextlib.ExitStack() as held:
        make_folder(folder.parent)
        with _locked(folder.parent):
            _tidy(folder)
            _check(folder, overwrite=overwrite, known_by=known_by)
            new.mkdir()
            held.enter_context(_locked(new))
        try:
            yield new
            with _locked(folder.parent):
                # another process may have been faster
                _check(folder, overwrite=overwrite, known_by=known_by)
                if folder.exists():
                    folder.rename(old)
                new.rename(folder)
        finally:
            if old.exists() and not folder.exists():
                old.rename(folder)
            for left in (new, old):
                shutil.rmtree(left, ignore_errors=True)


def _check(folder: Path, *, overwrite: bool, known_by: str) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()):
        if not overwrite:
            raise OutputError(f"{folder}: already exists; name another folder or add --overwrite")
        if not (folder / known_by).is_file():
            raise OutputError(f"{folder}: contains files but no {known_by}; name another folder")


@contextlib.contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Lock a folder; False if another process has, or if its file system has no locks. The kernel ends the lock."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _tidy(folder: Path) -> None:
    """Remove what lost processes have left beside a folder, or put the earlier folder back."""
    pattern = re.compile(rf"\.{re.escape(folder.name)}\.[0-9a-f]{{32}}\.(part|old)")
    left = [path for path in folder.parent.iterdir() if pattern.fullmatch(path.name) and path.is_dir()]
    # the earlier folder before the one that was to replace it
    for path in sorted(left, key=lambda path: path.suffix != _OLD):
        with _locked(path.with_suffix(_NEW) if path.with_suffix(_NEW).is_dir() else path, wait=False) as is_left:
            if is_left and path.suffix == _OLD and not folder.exists():
                path.rename(folder)
            elif is_left:
                shutil.rmtree(path, ignore_errors=True)
