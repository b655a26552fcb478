"""Hunks of a product's change: each undone alone must turn a test red, or nothing has witnessed it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from redgreen.replay.cell import Conditions, run_cell
from redgreen.replay.change import Change
from redgreen.replay.clone import Clone

__all__ = ["Hunk", "list_changed_code", "read_code", "try_hunks"]

HUNK: Final = re.compile(rb"^@@ -\d+(?:,\d+)? \+(?P<line>\d+)(?:,\d+)? @@", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Hunk:
    """One hunk: `state` is `witnessed`, `unwitnessed`, or why it was not tried."""

    file: str
    line: int
    state: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.state}"


def try_hunks(
    clone: Clone, change: Change, fixed: Sequence[str], tests: Sequence[str], conditions: Conditions, root: Path
) -> Iterator[Hunk]:
    """Undo each hunk of the product's change alone; one of the tests that it has fixed must notice.

    `tests` are what runs in the folder `root` of the clone.

    Raises:
        OutOfTimeError: The deadline has come; the hunks before were tried.
        InterruptedReplayError: A signal came; likewise.
    """
    for name in change.product:
        difference = clone.diff(change.base, change.head, [name])
        for line, patch in split(difference):
            clone.lay_out(change.head)
            state = _undo(clone, change, name, patch)
            if not state:
                cell = run_cell("hunk", root, tests, conditions, repeat=1)
                noticed = cell.problem or {*fixed} & {*cell.list_with("failed", "error")}
                state = "witnessed" if noticed else "unwitnessed"
                state = "the tests ran out of time" if cell.problem.startswith("TIMEOUT") else state
            yield Hunk(name, line, state)


def list_changed_code(clone: Clone, change: Change) -> tuple[str, ...]:
    """List the files of the product in which more than comments and layout differs."""
    return tuple(
        name
        for name in change.product
        if not name.endswith(".py")
        or (after := read_code(clone.read(change.head, name), docstrings=True)) is None
        or after != read_code(clone.read(change.base, name), docstrings=True)
    )


def split(difference: bytes) -> Iterator[tuple[int, bytes]]:
    """Split the difference of one file into patches of one hunk, with the line that each begins at."""
    starts = [match.start() for match in HUNK.finditer(difference)]
    if not starts:  # binary, or only the mode has changed
        if difference:
            yield 1, difference
        return
    head = difference[: starts[0]]
    for start, end in zip(starts, [*starts[1:], len(difference)], strict=True):
        match = HUNK.match(difference, start)
        assert match is not None
        yield int(match["line"]), head + difference[start:end]


def _undo(clone: Clone, change: Change, name: str, patch: bytes) -> str:
    """Undo one hunk; say why no test has to notice it, or nothing where one has to."""
    if not clone.undo(patch):
        return "cannot be undone alone"
    if name.endswith(".py") and _has_same_code(clone.read(change.head, name), clone.root / name):
        return "no code"
    return ""


def _has_same_code(source: str | None, file: Path) -> bool:
    code = read_code(source)
    return code is not None and file.is_file() and code == read_code(file.read_text("utf-8", errors="replace"))


def read_code(source: str | None, *, docstrings: bool = False) -> str | None:
    """Return what a module does, without comments, layout and unwanted docstrings; None where it is no Python."""
    try:
        tree = ast.parse(source or "")
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef() if not docstrings:
                node.body = node.body[ast.get_docstring(node, clean=False) is not None :]
    return None if source is None else ast.dump(tree)
