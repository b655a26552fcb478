"""Verify many folders at once, with the ledger and against an earlier state of the repository."""

from __future__ import annotations

from pathlib import Path

from redgreen.errors import RedgreenError, RepositoryError, VerifyError
from redgreen.evidence.abandoned import find_unfinished
from redgreen.evidence.folder import STAMP
from redgreen.evidence.ledger import check, read_rows, strip_proof
from redgreen.evidence.record import SEAL
from redgreen.evidence.replayed import LATER
from redgreen.evidence.replays import check_replays
from redgreen.evidence.verify import verify_folder
from redgreen.gitrepo import git
from redgreen.project import PARTIAL, Project
from redgreen.registry.layout import parse_layout
from redgreen.registry.load import load_registry


def verify_all(project: Project, path: str = "", against: str = "") -> tuple[list[str], int]:
    """Check one folder, everything below a folder, or the whole repository.

    What was sealed, and every ledger row, at the git reference `against` must still be there, unchanged.

    Returns:
        Problems, one line each, and the number of folders looked at.

    Raises:
        VerifyError: The path holds no report folder.
        RepositoryError: The reference cannot be read.
    """
    folders = _find_folders(project, path)
    problems: list[str] = []
    for folder in folders:
        shown = project.relativize(folder) if folder.is_relative_to(project.root) else folder.name
        problems += [f"{shown}: {problem}" for problem in verify_folder(project, folder)]
    if not path:
        problems += _find_strays(project) + check_replays(project)
        if not project.scratch:
            problems += _check_ledger(project)
    if against:
        problems += _compare_with(project, against)
    return problems, len(folders)


def _find_folders(project: Project, path: str) -> list[Path]:
    if not path:
        abandoned = [folder for folder, alive in find_unfinished(project) if not alive]
        return [*project.list_folders(), *abandoned]
    start = next((p for p in (Path(path).resolve(), project.root / path) if p.is_dir()), None)
    if start is None:
        raise VerifyError(f"{path}: there is no such folder")
    if (start / SEAL).exists() or start.name.endswith(PARTIAL) or STAMP.match(start.parent.name):
        return [start]
    found = [folder for folder in project.list_folders() if folder.is_relative_to(start)]
    if not found:
        raise VerifyError(f"{path}: no report folder there")
    return found


def _find_strays(project: Project) -> list[str]:
    """Find files and folders among the reports that belong to none."""
    problems = []
    for entry in sorted(project.base.glob("*/reports/*")):
        if entry.name == LATER and entry.is_file() and not entry.is_symlink():
            continue
        if not entry.is_dir() or entry.is_symlink():
            problems.append(f"{project.relativize(entry)}: belongs to no report")
        elif not STAMP.match(entry.name):
            problems.append(f"{project.relativize(entry)}: is not named by a time; was it renamed?")
        else:
            problems += [
                f"{project.relativize(inner)}: belongs to no report"
                for inner in sorted(entry.iterdir())
                if not inner.is_dir() or inner.is_symlink()
            ]
    return problems


def _check_ledger(project: Project) -> list[str]:
    """Compare the ledger with the folders."""
    if not project.ledger.is_file() and not any(project.list_folders()):
        return []
    try:
        return check(project, load_registry(project.root))
    except RedgreenError as error:
        return [str(error)]


def _compare_with(project: Project, reference: str) -> list[str]:
    """Compare with an earlier commit: nothing that it recorded may be gone or different."""
    problems = []

    def read(name: str) -> bytes | None:
        try:
            return git(project.root, "show", f"{reference}:./{name}")
        except RepositoryError:
            return None

    git(project.root, "rev-parse", "--verify", f"{reference}^{{commit}}")
    then = parse_layout(read)  # a project that has moved its reports must still hold the old ones
    listed = git(project.root, "ls-tree", "-r", "-z", reference, "--", then.plans).decode().split("\0")
    for line in filter(None, listed):
        facts, _, name = line.partition("\t")
        if not name.endswith(f"/{SEAL}"):
            continue
        folder = name.removesuffix(f"/{SEAL}")
        path = project.root / name
        if not path.is_file():
            problems.append(f"{folder}: sealed at {reference}, gone now")
        elif path.read_bytes() != git(project.root, "cat-file", "blob", facts.split()[2]):
            problems.append(f"{folder}: sealed differently than at {reference}")
    before = (read(then.ledger) or b"").decode("utf-8", "replace")
    now = read_rows(project.ledger.read_text(encoding="utf-8")) if project.ledger.is_file() else {}
    for name, row in read_rows(before).items():
        if strip_proof(now.get(name, "")) != strip_proof(row):
            problems.append(f"{name}: its ledger row at {reference} is {'different' if name in now else 'gone'} now")
    return problems
