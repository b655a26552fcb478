"""Compare what is recorded with what an earlier commit had recorded: nothing may be gone or different."""

from __future__ import annotations

from dataclasses import dataclass, field

from redgreen.errors import RepositoryError
from redgreen.evidence.attestation import ATTESTATIONS
from redgreen.evidence.collected import Folders, name_folder, split_folders
from redgreen.evidence.guards import GUARDS, GUARDS_ARCHIVE, read_archived
from redgreen.evidence.ledger import read_claims
from redgreen.evidence.packed import SUMMARY, read_contents, split_record
from redgreen.evidence.record import SEAL
from redgreen.evidence.replayed import LATER
from redgreen.gitrepo import git, read_blobs
from redgreen.project import Project
from redgreen.registry.layout import Layout, parse_layout


@dataclass(slots=True)
class _Before:
    """What a commit had recorded: the seal of each folder, the lines of each log, by name below the root."""

    seals: dict[str, bytes] = field(default_factory=dict)
    lines: dict[str, list[bytes]] = field(default_factory=dict)


def compare_with(project: Project, reference: str) -> list[str]:
    """Return what the git reference had recorded, and what is gone or different now; the form does not matter.

    Raises:
        RepositoryError: The reference cannot be read.
    """
    then = _read_layout(project, reference)
    before = _read_commit(project, reference, then)
    problems = []
    for folder, seal in sorted(before.seals.items()):
        now = _find_seal(project, folder)
        if now is None:
            problems.append(f"{folder}: sealed at {reference}, gone now")
        elif now != seal:
            problems.append(f"{folder}: sealed differently than at {reference}")
    for log, lines in sorted(before.lines.items()):
        path = project.root / log
        now_there = {*path.read_bytes().splitlines()} if path.is_file() else set()
        gone = sum(line not in now_there for line in lines)
        if gone:
            problems.append(f"{log}: {gone} of the {len(lines)} lines at {reference} are gone or different now")
    return problems + _compare_ledgers(project, reference, then)


def list_seals(project: Project, reference: str) -> set[bytes]:
    """List what the git reference had recorded: the bytes of the seal of each folder.

    Raises:
        RepositoryError: The reference cannot be read.
    """
    return {*_read_commit(project, reference, _read_layout(project, reference)).seals.values()}


def _read_commit(project: Project, reference: str, then: Layout) -> _Before:
    listed = git(project.root, "ls-tree", "-r", "-z", reference, "--", then.plans).decode().split("\0")
    blobs: dict[str, str] = {}
    for line in filter(None, listed):
        facts, _, name = line.partition("\t")
        if name.rpartition("/")[2] in (SEAL, SUMMARY, GUARDS, GUARDS_ARCHIVE, LATER, ATTESTATIONS):
            blobs[name] = facts.split()[2]
    before = _Before()
    for name, data in zip(blobs, read_blobs(project.root, list(blobs.values())), strict=True):
        folder, _, file = name.rpartition("/")
        if file == SEAL:
            before.seals[folder] = data
        elif file == SUMMARY:
            shown = split_record(data)[1]
            if SEAL in shown:
                before.seals[folder] = shown[SEAL]
        elif file in (GUARDS, LATER, ATTESTATIONS):
            before.lines[name] = data.splitlines()
        else:
            archived = _split_archive(data, f"{name} at {reference}")
            before.seals |= {f"{folder}/{inner}": files.get(SEAL, b"") for inner, files in archived.items()}
    return before


def _split_archive(data: bytes, name: str) -> Folders:
    try:
        return split_folders(data, name)
    except ValueError as error:
        raise RepositoryError(str(error)) from None


def _find_seal(project: Project, name: str) -> bytes | None:
    """Find the seal of a folder, wherever it is kept now; None when it is gone or cannot be read."""
    folder = project.root / name
    try:
        if folder.is_dir():
            return read_contents(folder).get(SEAL)
        archived = read_archived(folder.parents[1] / GUARDS)
        return archived.get(name_folder(folder), {}).get(SEAL)
    except ValueError:
        return None


def _read_layout(project: Project, reference: str) -> Layout:
    """Read where the commit kept its files: a project that has moved its reports must still hold the old ones."""
    git(project.root, "rev-parse", "--verify", f"{reference}^{{commit}}")
    return parse_layout(lambda name: _show(project, reference, name))


def _show(project: Project, reference: str, name: str) -> bytes | None:
    try:
        return git(project.root, "show", f"{reference}:./{name}")
    except RepositoryError:
        return None


def _compare_ledgers(project: Project, reference: str, then: Layout) -> list[str]:
    before = (_show(project, reference, then.ledger) or b"").decode("utf-8", "replace")
    now = read_claims(project.ledger.read_text(encoding="utf-8")) if project.ledger.is_file() else {}
    return [
        f"{name}: its ledger row at {reference} is {'different' if name in now else 'gone'} now"
        for name, row in read_claims(before).items()
        if now.get(name) != row
    ]
