"""What lists say of a run, whatever it is kept as, and what its page is called."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from redgreen.codes import GUARD, Mode, Verdict
from redgreen.evidence.guards import GuardLine
from redgreen.evidence.pair import count_outcomes, format_outcomes
from redgreen.evidence.sealed import SealedRun

UNSAFE: Final = re.compile(r"[^A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Row:
    """What lists say of a run.

    `key` sorts runs by time. `counts` says that it showed what was asked of it, in its replay as well; `tree` is the
    code that it ran, empty where that is not recorded, `declared` the digest of what its selector declared, `repeats`
    the number of its processes.
    """

    key: tuple[str, int, str]
    initiative: str
    stamp: str
    phase: str
    selector: str
    mode: Mode
    verdict: Verdict
    counts: bool
    reasons: tuple[str, ...]
    tests: str
    tree: str
    declared: str
    repeats: int


def describe_run(run: SealedRun) -> Row:
    """Describe a sealed folder."""
    result = run.result
    return Row(
        key=run.key,
        initiative=run.initiative,
        stamp=run.stamp,
        phase=result.phase,
        selector=result.selector,
        mode=result.mode,
        verdict=result.verdict,
        counts=run.is_valid,
        reasons=result.reasons,
        tests=count_outcomes(result),
        tree=result.git.tree if result.git else "",
        declared=result.entry_sha256 or "",
        repeats=result.repeat.n if result.repeat else 0,
    )


def describe_line(line: GuardLine) -> Row:
    """Describe a guard that is a line of a log."""
    return Row(
        key=line.key,
        initiative=line.initiative,
        stamp=line.stamp,
        phase=line.phase,
        selector=line.selector,
        mode=GUARD,
        verdict=line.verdict,
        counts=line.is_valid,
        reasons=line.reasons,
        tests=format_outcomes(line.outcomes),
        tree=line.git.tree if line.git else "",
        declared=line.entry_sha256,
        repeats=1,
    )


def name_page(kind: str, name: str, unique: str = "") -> str:
    """Name a page such that every file system and every address takes it, and no two names give the same."""
    plain = UNSAFE.sub("_", name)[:80].strip(".")
    unique = unique or (name if plain != name else "")
    return f"{kind}/{plain}{f'-{hashlib.sha256(unique.encode()).hexdigest()[:8]}' if unique else ''}.html"


def name_run_page(run: SealedRun | GuardLine) -> str:
    """Name the page of a run."""
    name = f"{run.stamp}-{run.name}"
    return name_page("runs", name, f"{run.initiative}/{name}")
