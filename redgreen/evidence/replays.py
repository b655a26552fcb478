"""The replays of recorded pairs after the fact: sealed lines beside the reports; the newest one counts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from redgreen.codec import from_json, to_json, to_text
from redgreen.codes import ProofVerdict
from redgreen.evidence import journal
from redgreen.evidence.replayed import LATER, ReplayRecord, read_replay
from redgreen.evidence.scrub import GENERIC_PATHS, Scrubber
from redgreen.evidence.sealed import SealedRun, load_replay
from redgreen.project import Project

__all__ = [
    "append_replay",
    "check_replays",
    "choose_newest",
    "count_hunks",
    "find_proof",
    "load_replays",
    "locate_replays",
    "scrub_replay",
]


def locate_replays(project: Project, initiative: str) -> Path:
    """Return the file that holds the later replays of an initiative."""
    return project.base / initiative / "reports" / LATER


def scrub_replay(project: Project, record: ReplayRecord) -> ReplayRecord:
    """Take secrets and traces of the machine out of what a replay showed, before it is kept, signed or printed."""
    return read_replay(Scrubber(project.root, os.environ).scrub_text(to_text(record)).encode())


def append_replay(project: Project, initiative: str, record: ReplayRecord) -> None:
    """Append what a replay showed.

    Raises:
        ReportError: The file cannot be written.
    """
    written: dict[str, Any] = to_json(record)
    journal.append(project, locate_replays(project, initiative), written)


def load_replays(project: Project, initiative: str) -> dict[str, ReplayRecord]:
    """Load the newest later replay of each run of an initiative, by run id.

    Raises:
        ValueError: A line was changed, or holds something else.
    """
    lines = journal.read(locate_replays(project, initiative))
    records = [from_json(ReplayRecord, line) for line in lines]
    return {record.run_id: record for record in sorted(records, key=lambda record: record.when)}


def find_proof(run: SealedRun, later: dict[str, ReplayRecord]) -> ReplayRecord | None:
    """Find the newest replay of a run: a later one, or the one in its folder; None where it was never replayed.

    What cannot be read of a damaged folder is passed over: `verify` names it.
    """
    try:
        own = load_replay(run)
    except ValueError:
        own = None
    return choose_newest(own, later.get(run.run_id))


def choose_newest(*records: ReplayRecord | None) -> ReplayRecord | None:
    """Choose the newest of several replays of a run, the last of one second; None where there is none."""
    return max(filter(None, reversed(records)), key=lambda record: record.when, default=None)


def count_hunks(records: Iterable[ReplayRecord]) -> tuple[int, int]:
    """Count the hunks that tests of proven changes notice when they are undone, and all that can be undone.

    Several pairs may prove one change: a hunk that one of them notices counts as noticed, and each counts once.
    """
    noticed: dict[tuple[str, str, str, int], bool] = {}
    for record in records:
        for hunk in record.hunks if record.verdict is ProofVerdict.PROVEN else ():
            if hunk.state in ("witnessed", "unwitnessed"):
                place = record.base, record.head, hunk.file, hunk.line
                noticed[place] = noticed.get(place, False) or hunk.state == "witnessed"
    return sum(noticed.values()), len(noticed)


def check_replays(project: Project) -> list[str]:
    """Return what is wrong with the logs of later replays, one line each."""
    problems = []
    for path in sorted(project.base.glob(f"*/reports/{LATER}")):
        trace = GENERIC_PATHS.search(path.read_text(encoding="utf-8", errors="replace"))
        problems += [f"{project.relativize(path)}: holds a path of a machine ({trace.group()})"] if trace else []
        try:
            load_replays(project, path.parent.parent.name)
        except ValueError as error:
            problems.append(f"{project.relativize(path)}: {error}")
    return problems
