"""How a sealed run is kept: its folder packed, or, of a guard that held, a line."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Final

from redgreen.evidence import guards, ledger
from redgreen.evidence.folder import translate_errors
from redgreen.evidence.packed import pack, read_contents
from redgreen.evidence.sealed import SealedRun, load_run
from redgreen.project import Project
from redgreen.registry.model import Registry

REMOVED: Final = "removed-"  # beginning of the name under which a folder is put aside before it is deleted


def store(project: Project, registry: Registry, folder: Path, *, keep: bool) -> SealedRun:
    """Bring a sealed folder into the form in which it is kept, and put its row into the ledger.

    Of a guard that held, only a line is kept, unless `keep` says otherwise; every other folder is packed.

    Raises:
        LedgerError: The blocks of the ledger are broken.
        ReportError: Something cannot be written; what was sealed is there.
    """
    contents = read_contents(folder)
    run = load_run(folder, contents)
    if keep or not guards.can_be_line(run):
        pack(project, folder)
        ledger.add(project, registry, run)
        return run
    line = guards.describe(run, contents, kept=False)
    guards.add_lines(project, run.initiative, [line])
    remove(project, folder)
    ledger.add(project, registry, line)
    return run


def remove(project: Project, folder: Path) -> None:
    """Remove a folder in one step, and its `<UTC>` folder with the last one in it.

    Raises:
        ReportError: It cannot be removed; it is whole.
    """
    with translate_errors(folder):
        aside = Path(tempfile.mkdtemp(prefix=REMOVED, dir=project.make_state()))
        folder.rename(aside / folder.name)
    shutil.rmtree(aside, ignore_errors=True)
    with contextlib.suppress(OSError):  # another report is in it
        folder.parent.rmdir()
