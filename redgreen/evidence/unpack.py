"""Write the files of a report out, one by one, as they were sealed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from redgreen.errors import ReportError, VerifyError
from redgreen.evidence import guards
from redgreen.evidence.collected import name_folder
from redgreen.evidence.folder import translate_errors
from redgreen.evidence.packed import is_report, read_contents
from redgreen.evidence.sealed import load_runs
from redgreen.project import Project


def unpack(project: Project, reference: str, target: Path | None) -> Path:
    """Write the files of a report into a folder that is not there yet.

    Args:
        project: The repository.
        reference: A report folder, or the run id of any report, also of a guard whose files are archived.
        target: The folder; by default one below the ignored `.redgreen/unpacked`.

    Raises:
        VerifyError: There is no such report, its files are not kept, or they cannot be read.
        ReportError: The folder is there already, or cannot be written.
    """
    name, contents = _find(project, reference)
    folder = (target or project.state / "unpacked" / name).absolute()
    if folder.exists():
        raise ReportError(f"{folder.name} is there already; name a new folder with --to")
    with translate_errors(folder):
        project.make_state()
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for file, data in contents.items():
            (partial / file).write_bytes(data)
        partial.rename(folder)
    return folder


def _find(project: Project, reference: str) -> tuple[str, Mapping[str, bytes]]:
    try:
        for folder in (Path(reference).absolute(), project.root / reference):
            if folder.is_dir() and is_report(folder):
                return name_folder(folder), read_contents(folder)
        for run in load_runs(project):
            if run.result.run_id == reference:
                return name_folder(run.folder), read_contents(run.folder)
        for line in guards.load_lines(project):
            if line.run_id == reference:
                archived = guards.read_archived(guards.locate_log(project, line.initiative))
                if line.folder not in archived:
                    raise VerifyError(f"{reference}: only its line in {guards.GUARDS} is kept")
                return line.folder, archived[line.folder]
    except ValueError as error:
        raise VerifyError(f"{reference}: {error}") from None
    raise VerifyError(f"{reference}: neither a report folder nor the run id of one")
