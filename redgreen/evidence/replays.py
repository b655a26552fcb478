"""The replays of recorded pairs after the fact: sealed lines beside the reports; the newest one counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redgreen.codec import from_json, to_json
from redgreen.evidence import journal
from redgreen.evidence.replayed import LATER, ReplayRecord
from redgreen.evidence.sealed import SealedRun, load_replay
from redgreen.project import Project

__all__ = ["append_replay", "check_replays", "choose_newest", "find_proof", "load_replays", "locate_replays"]


def locate_replays(project: Project, initiative: str) -> Path:
    """Return the file that holds the later replays of an initiative."""
    return project.base / initiative / "reports" / LATER


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
    """Find the newest replay of a run: a later one, or the one in its folder; None where it was never replayed."""
    return choose_newest(load_replay(run), later.get(run.run_id))


def choose_newest(*records: ReplayRecord | None) -> ReplayRecord | None:
    """Choose the newest of several replays of a run; None where there is none."""
    return max(filter(None, records), key=lambda record: record.when, default=None)


def check_replays(project: Project) -> list[str]:
    """Return what is wrong with the logs of later replays, one line each."""
    problems = []
    for path in sorted(project.base.glob(f"*/reports/{LATER}")):
        try:
            load_replays(project, path.parent.parent.name)
        except ValueError as error:
            problems.append(f"{project.relativize(path)}: {error}")
    return problems
