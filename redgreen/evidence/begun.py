"""What was begun on this machine: so that a GREEN can name the attempts that are gone from the tree."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from redgreen.evidence import journal
from redgreen.evidence.guards import load_recorded
from redgreen.project import Project

__all__ = ["list_missing", "note_attempt"]

BEGUN: Final = "begun.jsonl"


def note_attempt(project: Project, run_id: str, selector: str) -> None:
    """Remember, outside of the tree, that a run begins.

    Raises:
        ReportError: The file cannot be written.
    """
    journal.append(project, _locate(project), {"run_id": run_id, "selector": selector})


def list_missing(project: Project, selector: str, since: str, now: str) -> list[str]:
    """List the runs of a selector, between two of its runs, that began on this machine and are not in the tree.

    What was begun on another machine, or before the file was there, is not known; a changed file tells nothing.
    """
    try:
        begun = [line["run_id"] for line in journal.read(_locate(project)) if line.get("selector") == selector]
    except ValueError:
        return []
    if since not in begun:
        return []
    between = [run_id for run_id in begun[begun.index(since) + 1 :] if run_id != now]
    there = {run.run_id for run in load_recorded(project)}
    return [run_id for run_id in between if run_id not in there]


def _locate(project: Project) -> Path:
    return project.state / BEGUN
