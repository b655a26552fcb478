"""One archive of several report folders, each under its `<UTC>/<subdir>`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from redgreen.errors import ReportError
from redgreen.evidence.archive import make_archive, read_archive
from redgreen.evidence.folder import write_whole
from redgreen.project import Project

Folders = Mapping[str, Mapping[str, bytes]]


def name_folder(folder: Path) -> str:
    """Name a report folder by its time and its own name, as archives and run.json do."""
    return f"{folder.parent.name}/{folder.name}"


def read_folders(path: Path) -> Folders:
    """Read an archive; a missing one holds no folder.

    Raises:
        ValueError: It cannot be unpacked.
    """
    try:
        facts = path.stat()
        return _read_folders(path, facts.st_mtime_ns, facts.st_size)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror}") from None


def split_folders(data: bytes, name: str) -> Folders:
    """Unpack an archive in memory.

    Raises:
        ValueError: It cannot be unpacked; the message begins with `name`.
    """
    folders: dict[str, dict[str, bytes]] = {}
    for path, content in read_archive(data, name).items():
        folder, _, file = path.rpartition("/")
        folders.setdefault(folder, {})[file] = content
    return folders


def add_folders(project: Project, path: Path, more: Folders) -> None:
    """Add folders to an archive by writing it anew; it is on disk and was read again when this returns.

    Raises:
        ReportError: It cannot be read or written.
    """
    try:
        before = read_folders(path)
        wanted = {**before, **more}
        if wanted != before:
            files = {f"{folder}/{name}": data for folder, files in wanted.items() for name, data in files.items()}
            write_whole(project, path, make_archive(files))
        if read_folders(path) != wanted:
            raise ValueError("it does not read as it was written")
    except ValueError as error:
        raise ReportError(f"{project.relativize(path)}: {error}; nothing was removed") from None


@functools.lru_cache(maxsize=8)
def _read_folders(path: Path, mtime_ns: int, size: int) -> Folders:
    """Read an archive once, as long as its time and size stay the same."""
    return split_folders(path.read_bytes(), path.name)
