"""Bring every recorded folder into the form in which it is kept, and finish what was interrupted."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from redgreen.errors import ReportError
from redgreen.evidence import guards
from redgreen.evidence.collected import add_folders, name_folder
from redgreen.evidence.folder import hold_lock
from redgreen.evidence.packed import Form, find_form, pack, read_contents
from redgreen.evidence.record import SEAL
from redgreen.evidence.sealed import load_run
from redgreen.evidence.store import REMOVED, remove
from redgreen.evidence.verify import verify_contents
from redgreen.project import Project


@dataclass(slots=True)
class Work:
    """What there is to do: folders to pack, and guards that held to archive, by initiative.

    `broken` gives for each folder that does not verify, and is left alone, the first reason.
    """

    pack: list[Path] = field(default_factory=list)
    archive: dict[str, list[Path]] = field(default_factory=dict)
    broken: dict[Path, str] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Number of folders that change."""
        return len(self.pack) + sum(len(folders) for folders in self.archive.values())


def find_work(project: Project, *, begun: bool = False) -> Work:
    """Find the folders that are not in the form in which they are kept; with `begun`, only what was interrupted."""
    lines = {(line.initiative, line.folder) for line in guards.load_lines(project)}
    work = Work()
    for folder in project.list_folders():
        has_line = (folder.parents[2].name, name_folder(folder)) in lines
        try:
            form = find_form(folder)
            if begun and form is not Form.BOTH and not has_line:
                continue
            contents = read_contents(folder)
            run = load_run(folder, contents)
            problems = verify_contents(project, folder, contents)
        except ValueError as error:
            problems = [str(error)]
        if problems:
            work.broken[folder] = problems[0]
        elif guards.can_be_line(run):
            work.archive.setdefault(run.initiative, []).append(folder)
        elif form in (Form.LOOSE, Form.BOTH):
            work.pack.append(folder)
    return work


def migrate(project: Project, work: Work) -> None:
    """Do what there is to do; when this is interrupted, all can be read, and doing it again goes on from there.

    Raises:
        ReportError: Something cannot be read or written; nothing is lost.
    """
    with hold_lock(project, project.state / "locks" / "archives.lock"):
        for folder in work.pack:
            pack(project, folder)
        for initiative, folders in work.archive.items():
            _archive(project, initiative, folders)
        for log in guards.list_logs(project):
            guards.add_lines(project, log.parents[1].name, [])  # sorts what a merge of two branches has mixed
    for aside in project.state.glob(f"{REMOVED}*"):
        shutil.rmtree(aside, ignore_errors=True)
    for stamp in project.base.glob("*/reports/*"):
        if stamp.is_dir():
            with contextlib.suppress(OSError):  # it is not empty
                stamp.rmdir()


def _archive(project: Project, initiative: str, folders: list[Path]) -> None:
    """Move folders of guards that held into the archive, each with its line."""
    log = guards.locate_log(project, initiative)
    try:
        known = {line.folder for line in guards.read_lines(log)}
        archived = guards.read_archived(log)
    except ValueError as error:
        raise ReportError(f"{project.relativize(log)}: {error}; nothing was moved") from None
    contents = {name_folder(folder): read_contents(folder) for folder in folders}
    for name in contents.keys() & archived.keys():
        if contents[name][SEAL] != archived[name].get(SEAL):
            raise ReportError(f"{name} was archived before, with another seal; nothing was moved")
    add_folders(project, log.with_name(guards.GUARDS_ARCHIVE), contents)
    new = [folder for folder in folders if name_folder(folder) not in known]
    files = [contents[name_folder(folder)] for folder in new]
    lines = [guards.describe(load_run(f, data), data, kept=True) for f, data in zip(new, files, strict=True)]
    guards.add_lines(project, initiative, lines)
    for folder in folders:
        remove(project, folder)
