"""A unified diff as git writes it, in its files; the text is taken as it comes and never applied."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from redgreen.evidence.replayed import ReplayRecord
from redgreen.registry.model import Selector

HEADER: Final = "diff --git "
NAMES: Final = re.compile(r"a/(?P<name>.+) b/(?P=name)\Z")


@dataclass(frozen=True, slots=True)
class FileDiff:
    """The difference of one file: its path after the change (before it where it was deleted), and its lines.

    `lines` leaves out git's header; that of a binary file is one line which says so.
    """

    path: str
    lines: tuple[str, ...]

    @property
    def added(self) -> int:
        """How many lines are new."""
        return sum(line.startswith("+") for line in self.lines)

    @property
    def removed(self) -> int:
        """How many lines are gone."""
        return sum(line.startswith("-") for line in self.lines)


@dataclass(frozen=True, slots=True)
class Sides:
    """The files of a change: those of the product, and all others, which belong to the tests."""

    product: tuple[FileDiff, ...]
    tests: tuple[FileDiff, ...]


def split_patch(data: bytes) -> list[FileDiff]:
    """Part a diff at its files; text before the first is not kept."""
    blocks: list[list[str]] = []
    for line in data.decode("utf-8", "replace").split("\n"):
        if line.startswith(HEADER):
            blocks.append([])
        if blocks:
            blocks[-1].append(line)
    return [_read_block(block) for block in blocks]


def divide(files: Sequence[FileDiff], selector: Selector, replay: ReplayRecord | None) -> Sides:
    """Part the files of a change into product and tests.

    The replay says what is product; without one it is what the selector declares, and else what lies outside of the
    folders of tests.
    """
    product = tuple(file for file in files if _is_product(file.path, selector, replay))
    return Sides(product, tuple(file for file in files if file not in product))


def _is_product(path: str, selector: Selector, replay: ReplayRecord | None) -> bool:
    if replay is not None:
        return path in replay.product
    if selector.product:
        return any(fnmatch.fnmatchcase(path, glob) for glob in selector.product)
    place = PurePosixPath(path)
    in_tests = any(place.is_relative_to(root) for root in selector.tests_roots)
    return place.suffix == ".py" and not in_tests and not place.name.startswith(("test_", "conftest."))


def _read_block(block: list[str]) -> FileDiff:
    start = next((number for number, line in enumerate(block) if line.startswith("@@ ")), len(block))
    head, body = block[:start], [line for line in block[start:] if line]
    facts = [line for line in head[1:] if line.startswith(("rename ", "new file", "deleted file", "old mode", "new m"))]
    if not body:
        binary = any(line.startswith(("GIT binary patch", "Binary files")) for line in head)
        body = ["(a binary file differs)"] if binary else facts
    return FileDiff(_find_path(head), tuple(body))


def _find_path(head: list[str]) -> str:
    """Find the path in the header: behind `+++`, `---` or `rename to`, and else in its first line."""
    for start in ("+++ b/", "--- a/", "rename to "):
        for line in head[1:]:
            if line.startswith(start):
                return line.removeprefix(start).rstrip("\t")
    names = head[0].removeprefix(HEADER)
    match = NAMES.match(names)
    return match["name"] if match else names
