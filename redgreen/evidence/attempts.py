"""Old attempts: all that is bulky in them is moved, into one archive of their initiative; summary.md stays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from redgreen.codes import GREEN, RED
from redgreen.errors import ReportError
from redgreen.evidence.collected import add_folders, name_folder, read_folders
from redgreen.evidence.folder import NOTES, hold_lock, sync_folder, translate_errors
from redgreen.evidence.guards import Recorded, can_be_line, load_recorded
from redgreen.evidence.packed import ATTEMPTS, SUMMARY, WITNESSES, pack, read_contents, split_record
from redgreen.evidence.sealed import SealedRun
from redgreen.project import Project


def find_old(project: Project) -> list[SealedRun]:
    """Find the attempts that a later valid run of their selector has superseded, and that are not moved yet.

    The newest valid RED and GREEN of a selector stay, and the RED that this GREEN answers.
    """
    runs: dict[tuple[str, str], list[Recorded]] = {}
    for run in load_recorded(project):
        runs.setdefault((run.initiative, run.selector), []).append(run)
    old = []
    for attempts in runs.values():
        attempts.sort(key=lambda run: run.key)
        valid = [run for run in attempts if run.verdict.is_valid]
        if valid:
            needed = _find_needed(valid)
            old += [
                run
                for run in attempts
                if isinstance(run, SealedRun)
                and not can_be_line(run)
                and run.key < valid[-1].key
                and run.result.run_id not in needed
                and {path.name for path in run.folder.iterdir()} - {SUMMARY, NOTES}
            ]
    return old


def move(project: Project, runs: list[SealedRun]) -> None:
    """Move everything but summary.md and notes out of the folders; nothing is removed before it is read again.

    Raises:
        ReportError: Something cannot be read or written; nothing is lost.
    """
    with hold_lock(project, project.state / "locks" / "archives.lock"):
        for initiative in sorted({run.initiative for run in runs}):
            folders = [run.folder for run in runs if run.initiative == initiative]
            for folder in folders:
                pack(project, folder)
            moved = {name_folder(folder): _choose_moved(folder) for folder in folders}
            path = project.base / initiative / "reports" / ATTEMPTS
            add_folders(project, path, moved)
            archived = read_folders(path)
            for folder in folders:
                _empty(folder, archived[name_folder(folder)])


def _find_needed(valid: list[Recorded]) -> set[str]:
    """Return the ids of the runs that stay although others follow them."""
    sealed = [run for run in valid if isinstance(run, SealedRun)]
    needed = set()
    for mode in (RED, GREEN):
        newest = [run for run in sealed if run.result.mode is mode][-1:]
        needed |= {run.result.run_id for run in newest}
        needed |= {run.result.pairs_with.run_id for run in newest if run.result.pairs_with}
    return needed


def _choose_moved(folder: Path) -> dict[str, bytes]:
    """Choose the files that summary.md does not show whole."""
    shown = split_record((folder / SUMMARY).read_bytes())[1]
    return {name: data for name, data in read_contents(folder).items() if name not in (SUMMARY, NOTES, *shown)}


def _empty(folder: Path, archived: Mapping[str, bytes]) -> None:
    """Remove from a folder what the archive holds, and what only packs it."""
    page, shown = split_record((folder / SUMMARY).read_bytes())
    notes = {NOTES: (folder / NOTES).read_bytes()} if (folder / NOTES).exists() else {}
    if {SUMMARY: page, **shown, **archived, **notes} != read_contents(folder):
        raise ReportError(f"{folder.name}: {ATTEMPTS} does not hold its files; nothing was removed")
    with translate_errors(folder):
        (folder / WITNESSES).unlink(missing_ok=True)  # first: the log beside it is in the archive as a whole
        for path in sorted(folder.iterdir()):
            if path.name not in (SUMMARY, NOTES):
                path.unlink()
        sync_folder(folder)
