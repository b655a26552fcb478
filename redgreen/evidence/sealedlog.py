"""Append-only logs: one JSON object per line, each sealed by its own digest.

Lines are not chained: two branches that both append can be merged, and what was removed is found by comparing with an
earlier commit.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from redgreen.codec import JsonObject, digest, parse_object, to_json
from redgreen.evidence.folder import hold_lock, translate_errors
from redgreen.project import Project

SEALED: Final = "seal"


def append_line(project: Project, path: Path, values: object) -> JsonObject:
    """Append values, a dataclass or an object, as one sealed line; returns the line.

    Raises:
        ReportError: It cannot be written.
    """
    line: JsonObject = to_json(values)
    line[SEALED] = digest(line)
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"
    lock = project.state / "locks" / f"{path.parent.name}-{path.name}.lock"
    with hold_lock(project, lock), translate_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as stream:
            stream.write(text.encode("utf-8"))
            stream.flush()
            os.fsync(stream.fileno())
    return line


def read_lines(path: Path) -> list[JsonObject]:
    """Read a log, without the seals of its lines; an empty list if the file does not exist.

    Raises:
        ValueError: A line is not JSON, or its seal does not match; the message contains its number.
    """
    if not path.is_file():
        return []
    lines = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = parse_object(text, f"{path.name}, line {number}")
        if line.pop(SEALED, None) != digest(line):
            raise ValueError(f"{path.name}, line {number} does not match its seal")
        lines.append(line)
    return lines
