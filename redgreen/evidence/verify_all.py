"""Verify many folders at once, with the ledger and against an earlier state of the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from redgreen.errors import RedgreenError, VerifyError
from redgreen.evidence.abandoned import find_unfinished
from redgreen.evidence.against import compare_with
from redgreen.evidence.attestation import ATTESTATIONS, check_attestations
from redgreen.evidence.collected import read_folders
from redgreen.evidence.folder import STAMP
from redgreen.evidence.guards import GUARDS, GUARDS_ARCHIVE, list_logs, load_recorded
from redgreen.evidence.history import History
from redgreen.evidence.ledger import check
from redgreen.evidence.packed import ATTEMPTS, is_report
from redgreen.evidence.policy import Policy
from redgreen.evidence.replayed import LATER
from redgreen.evidence.replays import check_replays
from redgreen.evidence.verify import verify_folder
from redgreen.evidence.verify_guards import verify_guards
from redgreen.evidence.verify_policy import check_policy
from redgreen.project import PARTIAL, Project
from redgreen.registry.load import load_registry

BESIDE: Final = (GUARDS, GUARDS_ARCHIVE, ATTEMPTS, LATER, ATTESTATIONS)  # files beside the `<UTC>` folders


def verify_all(
    project: Project, path: str = "", against: str = "", *, ask_git: bool = True, policy: Policy | None = None
) -> tuple[list[str], int]:
    """Check one folder, everything below a folder, or the whole repository.

    With `ask_git` the code that a folder names must be in the history of the repository. What was sealed, and every
    ledger row, at the git reference `against` must still be there, unchanged. With a policy, GREENs must be attested as
    it asks.

    Returns:
        Problems, one line each, and the number of reports looked at: folders, and guards that are kept as a line.

    Raises:
        VerifyError: The path holds no report folder.
        RepositoryError: The reference, or the commit that the policy names, cannot be read.
    """
    folders, logs = _find_reports(project, path)
    history = History.of(project) if ask_git else None
    problems: list[str] = []
    number = len(folders)
    for folder in folders:
        shown = project.relativize(folder) if folder.is_relative_to(project.root) else folder.name
        found = verify_folder(project, folder) or (history.check(folder) if history else [])
        problems += [f"{shown}: {problem}" for problem in found]
    for log in logs:
        found, lines = verify_guards(project, log)
        problems += found
        number += lines
    if policy is not None:
        problems += check_policy(project, policy, folders)
    if not path:
        problems += _find_strays(project) + check_replays(project) + check_attestations(project)
        if not project.scratch:
            problems += _check_ledger(project)
    if against:
        problems += compare_with(project, against)
    return problems, number


def _find_reports(project: Project, path: str) -> tuple[list[Path], list[Path]]:
    """Find the report folders and the logs of guards at a path."""
    if not path:
        abandoned = [folder for folder, alive in find_unfinished(project) if not alive]
        return [*project.list_folders(), *abandoned], list_logs(project)
    start = next((p for p in (Path(path).resolve(), project.root / path) if p.exists()), None)
    if start is None:
        raise VerifyError(f"{path}: there is no such folder")
    if start.name == GUARDS and start.is_relative_to(project.base):
        return [], [start]
    if is_report(start) or start.name.endswith(PARTIAL) or STAMP.match(start.parent.name):
        return [start], []
    folders = [folder for folder in project.list_folders() if folder.is_relative_to(start)]
    logs = [log for log in list_logs(project) if log.is_relative_to(start)]
    if not folders and not logs:
        raise VerifyError(f"{path}: no report folder there")
    return folders, logs


def _find_strays(project: Project) -> list[str]:
    """Find files and folders among the reports that belong to none."""
    problems = []
    for entry in sorted(project.base.glob("*/reports/*")):
        if not entry.is_dir() or entry.is_symlink():
            if entry.name not in BESIDE or entry.is_symlink() or not entry.is_file():
                problems.append(f"{project.relativize(entry)}: belongs to no report")
        elif not STAMP.match(entry.name):
            problems.append(f"{project.relativize(entry)}: is not named by a time; was it renamed?")
        else:
            problems += [
                f"{project.relativize(inner)}: belongs to no report"
                for inner in sorted(entry.iterdir())
                if not inner.is_dir() or inner.is_symlink()
            ]
    for path in sorted(project.base.glob(f"*/reports/{ATTEMPTS}")):
        problems += _check_attempts(project, path)
    return problems


def _check_attempts(project: Project, path: Path) -> list[str]:
    """Find folders whose files were moved together, and that are gone themselves."""
    try:
        lost = [name for name in read_folders(path) if not (path.parent / name).is_dir()]
    except ValueError as error:
        return [f"{project.relativize(path)}: {error}"]
    return [f"{project.relativize(path)}: holds files of {name}, which is gone" for name in lost]


def _check_ledger(project: Project) -> list[str]:
    """Compare the ledger with the folders."""
    if not project.ledger.is_file() and not any(load_recorded(project)):
        return []
    try:
        return check(project, load_registry(project.root))
    except RedgreenError as error:
        return [str(error)]
