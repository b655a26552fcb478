"""An append-only log of sealed lines: one JSON object a line, each with the digest of the rest of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from redgreen.codec import JsonObject, digest, parse_object, to_line
from redgreen.evidence.folder import hold_lock, translate_errors, write_whole
from redgreen.project import Project

__all__ = ["SEAL_KEY", "append", "read", "sort"]

SEAL_KEY: Final = "seal"


def append(project: Project, path: Path, record: JsonObject) -> JsonObject:
    """Append one record, sealed, and return it as it was written.

    Lines of two branches merge as text, so that no line depends on the one before it: that none is missing is asked of
    git (`redgreen verify --against`).

    Raises:
        ReportError: The file cannot be written.
    """
    sealed = record | {SEAL_KEY: digest(record)}
    line = to_line(sealed)
    with hold_lock(project, project.state / "locks" / "journal.lock"), translate_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as stream:
            if stream.seek(0, os.SEEK_END):  # a line that a full disk cut must not swallow the next one
                stream.seek(-1, os.SEEK_END)
                line = line if stream.read(1) == b"\n" else "\n" + line
            stream.write(line.encode())
            stream.flush()
            os.fsync(stream.fileno())
    return sealed


def sort(project: Project, path: Path, key: Callable[[JsonObject], Any]) -> None:
    """Bring the records into the order of their keys, if they are not.

    Raises:
        ValueError: A line is not a sealed object; nothing is changed.
        ReportError: The file cannot be written.
    """
    with hold_lock(project, project.state / "locks" / "journal.lock"):
        found = read(path)
        wanted = sorted(found, key=key)
        if wanted != found:
            write_whole(project, path, "".join(to_line(record) for record in wanted).encode())


def read(path: Path) -> list[JsonObject]:
    """Read every record, with its seal; a missing file holds none.

    Raises:
        ValueError: A line is not a sealed object, and the message begins with its number; or the file is not readable.
    """
    try:
        lines = path.read_bytes().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
    found = []
    for number, line in enumerate(lines, 1):
        record = parse_object(line, f"line {number}")
        rest = {key: value for key, value in record.items() if key != SEAL_KEY}
        if record.get(SEAL_KEY) != digest(rest) or line + b"\n" != to_line(record).encode():
            raise ValueError(f"line {number} was changed, or is not whole")
        found.append(record)
    return found
