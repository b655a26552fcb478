"""Seal what interrupted runs left, as ABANDONED."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from redgreen.codec import digest
from redgreen.codes import UNKNOWN, Verdict
from redgreen.evidence.folder import MANIFEST, format_stamp, is_running, seal, translate_errors, write_json, write_text
from redgreen.evidence.markdown import code, escape
from redgreen.evidence.packed import pack
from redgreen.evidence.record import INTENT, RESULT, SCHEMA, SEAL, Intent, Result, Times
from redgreen.evidence.scrub import Scrubber
from redgreen.evidence.sealed import load_intent
from redgreen.project import PARTIAL, Project

KEPT: Final = (INTENT, "worktree.patch", "NOTES.md")  # what was whole before pytest began
TEXTS: Final = (".log", ".jsonl", ".xml", ".json", ".md")


def find_unfinished(project: Project) -> list[tuple[Path, bool]]:
    """List the folders of runs without a seal, each with whether its run is still alive on this machine."""
    folders = project.list_folders(unsealed=True)
    return [(folder, is_running(project, _read_intent(folder).run_id)) for folder in folders]


def close(project: Project) -> list[Path]:
    """Seal every abandoned run; one that is still alive is left alone.

    Returns:
        The sealed folders.

    Raises:
        ReportError: A folder cannot be written.
    """
    return [_seal_abandoned(project, folder) for folder, alive in find_unfinished(project) if not alive]


def _read_intent(folder: Path) -> Intent:
    """Read the intent of a run; make a substitute when the run died before it had written one."""
    try:
        intent = load_intent(folder)
        if digest(intent.entry) == intent.entry_sha256:
            return intent
    except ValueError:
        pass
    stamp, subdir = folder.parent.name, folder.name[1:].removesuffix(PARTIAL)
    entry = {"name": subdir, "phase": "?", "budget_s": 0.0}
    return Intent(
        schema=SCHEMA,
        run_id=f"{stamp}-{subdir}-unknown",
        folder=f"{stamp}/{subdir}",
        initiative=folder.parents[2].name,
        selector=subdir,
        mode=UNKNOWN,
        entry=entry,
        entry_sha256=digest(entry),
        answers=None,
        git=None,
    )


def _seal_abandoned(project: Project, folder: Path) -> Path:
    intent = _read_intent(folder)
    scrubber = Scrubber(project.root, dict(os.environ))
    with translate_errors(folder):
        for path in sorted(folder.iterdir()):
            if path.name in (MANIFEST, SEAL) or (path.name not in KEPT and path.suffix not in TEXTS):
                path.unlink()
            elif path.name not in KEPT:
                text = path.read_bytes().decode("utf-8", "replace")
                clean = scrubber.scrub_xml(text) if path.suffix == ".xml" else scrubber.scrub_text(text)
                path.write_text(clean, encoding="utf-8", newline="\n")
        if intent.git is None:
            (folder / "worktree.patch").unlink(missing_ok=True)
    result = _make_result(intent)
    write_json(folder / INTENT, intent)
    write_json(folder / RESULT, result)
    write_text(folder / "summary.md", _render_summary(result))
    sealed = seal(folder, intent.run_id, Verdict.ABANDONED)
    if not project.scratch:
        pack(project, sealed)
    return sealed


def _make_result(intent: Intent) -> Result:
    start = format_stamp(datetime.fromisoformat(intent.started)) if intent.started else ""
    end = max(start, format_stamp(datetime.now(UTC)))
    return Result(
        schema=SCHEMA,
        run_id=intent.run_id,
        initiative=intent.initiative,
        phase=str(intent.entry.get("phase", "?")),
        selector=intent.selector,
        mode=intent.mode,
        verdict=Verdict.ABANDONED,
        exit_code=Verdict.ABANDONED.exit_code,
        reasons=("the run was interrupted before it could be judged",),
        proof=None,
        pairs_with=None,
        git=intent.git,
        runs=(),
        declared=(),
        tests=(),
        guards={},
        transition=None,
        time=Times(start, end, 0.0, 0.0, float(intent.entry.get("budget_s", 0.0)), monotonic=True),
        redactions=0,
        artifacts=(),
    )


def _render_summary(result: Result) -> str:
    return (
        f"# ABANDONED: {escape(result.selector)} ({result.mode.name})\n\n"
        "The run was interrupted before it could be judged. It shows nothing; what it had written is kept here.\n\n"
        f"Run {code(result.run_id)}, started {result.time.start or 'at an unknown time'}, sealed {result.time.end}.\n"
    )
