"""Seal what interrupted runs left, as ABANDONED."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from redgreen.codes import Verdict
from redgreen.evidence.folder import MANIFEST, SEAL, is_running, seal, stamp_of, write_json, write_text, written
from redgreen.evidence.scrub import Scrubber
from redgreen.evidence.sealed import read_object
from redgreen.project import PARTIAL, Project
from redgreen.registry.model import digest

__all__ = ["close", "unfinished"]

KEPT: Final = ("run.json", "worktree.patch", "NOTES.md")  # what was whole before pytest began
TEXTS: Final = (".log", ".jsonl", ".xml", ".json", ".md")


def unfinished(project: Project) -> list[tuple[Path, bool]]:
    """Folders of runs without a seal, each with whether its run is still alive on this machine."""
    return [(folder, is_running(project, str(_intent(folder)["run_id"]))) for folder in project.folders(unsealed=True)]


def close(project: Project) -> list[Path]:
    """Seal every abandoned run; one that is still alive is left alone.

    Returns:
        The sealed folders.

    Raises:
        ReportError: A folder cannot be written.
    """
    return [_seal_abandoned(project, folder) for folder, alive in unfinished(project) if not alive]


def _intent(folder: Path) -> dict[str, Any]:
    """The intent of a run; a stand-in when the run died before it had written one."""
    stamp, subdir = folder.parent.name, folder.name[1:].removesuffix(PARTIAL)
    try:
        intent = read_object(folder / "run.json")
        if digest(intent["entry"]) == intent["entry_sha256"] and {"run_id", "mode", "git"} <= intent.keys():
            return intent
    except (ValueError, KeyError, TypeError):
        pass
    entry = {"name": subdir, "phase": "?", "budget_s": 0.0}
    return {
        "schema": 1,
        "run_id": f"{stamp}-{subdir}-unknown",
        "folder": f"{stamp}/{subdir}",
        "initiative": folder.parents[2].name,
        "selector": subdir,
        "mode": "unknown",
        "entry": entry,
        "entry_sha256": digest(entry),
        "answers": None,
        "git": None,
    }


def _seal_abandoned(project: Project, folder: Path) -> Path:
    intent = _intent(folder)
    scrubber = Scrubber(project.root, dict(os.environ))
    with written(folder):
        for path in sorted(folder.iterdir()):
            if path.name in (MANIFEST, SEAL) or (path.name not in KEPT and path.suffix not in TEXTS):
                path.unlink()
            elif path.name not in KEPT:
                text = path.read_bytes().decode("utf-8", "replace")
                clean = scrubber.xml(text) if path.suffix == ".xml" else scrubber.text(text)
                path.write_text(clean, encoding="utf-8", newline="\n")
        if intent["git"] is None:
            (folder / "worktree.patch").unlink(missing_ok=True)
    result = _result(intent)
    write_json(folder / "run.json", intent)
    write_json(folder / "result.json", result)
    write_text(folder / "summary.md", _summary(result))
    return seal(folder, intent["run_id"], Verdict.ABANDONED.value)


def _result(intent: dict[str, Any]) -> dict[str, Any]:
    entry = intent["entry"]
    start = stamp_of(datetime.fromisoformat(intent["started"])) if intent.get("started") else ""
    end = stamp_of(datetime.now(UTC))
    return {
        "schema": 1,
        "run_id": intent["run_id"],
        "initiative": intent["initiative"],
        "phase": entry["phase"],
        "selector": intent["selector"],
        "mode": intent["mode"],
        "verdict": Verdict.ABANDONED.value,
        "exit_code": Verdict.ABANDONED.exit_code,
        "reasons": ["the run was interrupted before it could be judged"],
        "proof": None,
        "pairs_with": None,
        "git": intent["git"],
        "runs": [],
        "declared": [],
        "tests": [],
        "guards": {},
        "transition": None,
        "time": {
            "start": start,
            "end": max(start, end),
            "wall_s": 0.0,
            "pytest_s": 0.0,
            "budget_s": entry["budget_s"],
            "monotonic": True,
        },
        "redactions": 0,
        "artifacts": [],
    }


def _summary(result: dict[str, Any]) -> str:
    return (
        f"# ABANDONED: {result['selector']} ({result['mode'].upper()})\n\n"
        "The run was interrupted before it could be judged. It shows nothing; what it had written is kept here.\n\n"
        f"Run `{result['run_id']}`, started {result['time']['start'] or 'at an unknown time'}, sealed "
        f"{result['time']['end']}.\n"
    )
