"""The page of one run: a RED, a guard, or a GREEN beside the RED that it answers."""

from __future__ import annotations

import html
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from redgreen.evidence.markdown import reveal
from redgreen.evidence.pair import Fixed, Protected, explain, explain_proof, list_fixed, list_others, list_protected
from redgreen.evidence.patch import FileDiff, divide, split_patch
from redgreen.evidence.replayed import CHANGE
from redgreen.evidence.sealed import SealedRun
from redgreen.judge.conclusion import TestRow
from redgreen.registry.model import Selector
from redgreen.site.collect import Entry

MOST_ROWS: Final = 60
MOST_LINES: Final = 600
MOST_LETTERS: Final = 60_000  # of the differences, as they stand in the page
LONGEST_LINE: Final = 400
CLASSES: Final = {"+": "add", "-": "del", "@": "hunk"}
MOST_FILES: Final = 200


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a difference, and how it is coloured."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class ShownDiff:
    """The difference of one file as far as the page has room, and how many lines are left out."""

    path: str
    added: int
    removed: int
    lines: tuple[Line, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Change:
    """What was changed: the file it is from, what that file is, and its product and tests."""

    source: str
    told: str
    product: tuple[ShownDiff, ...]
    tests: tuple[ShownDiff, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A file of the folder; `href` is empty where the site does not lie in the repository."""

    name: str
    href: str


@dataclass(frozen=True, slots=True)
class RunView:
    """What the page of a run says; each list goes as far as the page has room, with the whole number beside it."""

    entry: Entry
    meaning: str
    proof_meaning: str
    fixed: tuple[Fixed, ...]
    others: tuple[TestRow, ...]
    protected: tuple[Protected, ...]
    change: Change | None
    files: tuple[Link, ...]
    most: int


def view_run(entry: Entry, run: SealedRun, root: Path, site: Path, share: int) -> RunView:
    """Gather what the page says; a `share` above 1 shows only that part of what the page would have room for."""
    red = entry.red
    selector = run.intent.load_selector()
    before = red.result if red else None
    fixed = list_fixed(run.result, before)
    return RunView(
        entry=entry,
        meaning=explain(run.result),
        proof_meaning=explain_proof(run.result, entry.replay),
        fixed=fixed,
        others=list_others(run.result, fixed),
        protected=list_protected(run.result, selector, before),
        change=_view_change(entry, run, selector, share),
        files=tuple(_link_files(entry, run, root, site)),
        most=MOST_ROWS // share,
    )


def _view_change(entry: Entry, run: SealedRun, selector: Selector, share: int) -> Change | None:
    """Show the change from RED to GREEN where it was kept, and else what was uncommitted."""
    source, git = entry.change, run.result.git
    if source is None:
        return None
    told = "From the code of the RED to the code of this run."
    if source.name != CHANGE:
        told = f"What was uncommitted at this run, against commit {git.head[:12]}." if git else ""
    sides = divide(split_patch(source.data), selector, entry.replay)
    room = _Room(MOST_LINES // share, MOST_LETTERS // share)
    return Change(source.name, told, tuple(map(room.show, sides.product)), tuple(map(room.show, sides.tests)))


@dataclass(slots=True)
class _Room:
    """How many lines and letters of differences the page still takes."""

    lines: int
    letters: int

    def show(self, diff: FileDiff) -> ShownDiff:
        shown = tuple(self._take(diff))
        return ShownDiff(diff.path, diff.added, diff.removed, shown, len(diff.lines) - len(shown))

    def _take(self, diff: FileDiff) -> Iterator[Line]:
        for line in diff.lines:
            text = reveal(line)
            text = text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]}…"
            self.lines -= 1
            self.letters -= len(html.escape(text))
            if self.lines < 0 or self.letters < 0:
                return
            yield Line(CLASSES.get(line[:1], ""), text)


def _link_files(entry: Entry, run: SealedRun, root: Path, site: Path) -> Iterator[Link]:
    """List the files of the folder, with the addresses of those that are not packed, where the site is beside them."""
    base = f"../{Path(os.path.relpath(run.folder, site)).as_posix()}/" if site.is_relative_to(root) else ""
    loose = {*os.listdir(run.folder)} if base else set()
    for name in sorted({*entry.files, *loose})[:MOST_FILES]:
        yield Link(name, quote(base + name) if name in loose else "")
