"""Commands about the form in which reports are kept: migrate, gc, unpack."""

from __future__ import annotations

from pathlib import Path

from redgreen.commands.answer import Answer
from redgreen.errors import VerifyError
from redgreen.evidence import attempts, ledger
from redgreen.evidence.guards import load_recorded
from redgreen.evidence.migrate import find_work
from redgreen.evidence.migrate import migrate as carry_out
from redgreen.evidence.packed import ATTEMPTS
from redgreen.evidence.unpack import unpack as write_out
from redgreen.project import Project
from redgreen.registry.load import load_registry


def migrate(project: Project, *, check: bool) -> Answer:
    """Bring every report into the form in which it is kept, or say what that would change.

    One that does not verify is left as it is, and makes this fail when all others are done.
    """
    work = find_work(project)
    names = [project.relativize(folder) for folder in work.pack]
    guards = [project.relativize(folder) for folders in work.archive.values() for folder in folders]
    broken = {project.relativize(folder): problem for folder, problem in work.broken.items()}
    if not check:
        carry_out(project, work)
        if not project.scratch and any(load_recorded(project)):  # one that was killed may not have come to it
            ledger.rebuild(project, load_registry(project.root))
    would = "would be " if check else ""
    lines = [
        *(f"{would}packed: {name}" for name in names),
        *(f"{would}moved into guards.tar.xz, with a line: {name}" for name in guards),
        *(f"left as it is: {name}: {problem}" for name, problem in broken.items()),
        f"{len(names)} folders {would}packed, {len(guards)} guards {would}archived, {len(broken)} left as they are",
    ]
    values = {"packed": names, "archived": guards, "left": broken}
    if broken:
        return Answer(VerifyError.code, VerifyError.label, lines, values)
    return Answer(0, "TO_MIGRATE" if check and work.number else "MIGRATED", lines, values)


def collect(project: Project, *, check: bool) -> Answer:
    """Move what is bulky in old attempts into one archive, or say what that would change."""
    runs = attempts.find_old(project)
    if not check:
        attempts.move(project, runs)
    would = "would be " if check else ""
    names = [project.relativize(run.folder) for run in runs]
    lines = [f"{would}moved into {ATTEMPTS}, but for its summary.md: {name}" for name in names]
    return Answer(0, "COLLECTED", lines or ["no old attempt has anything to move"], {"moved": names})


def unpack(project: Project, reference: str, to: Path | None) -> Answer:
    """Write the files of a report out."""
    folder = write_out(project, reference, to)
    shown = project.relativize(folder) if folder.is_relative_to(project.root) else str(folder)
    hint = f"{shown}: written out; `sha256sum -c MANIFEST.sha256` checks it"
    return Answer(0, "UNPACKED", [hint], {"folder": shown}, shown)
