"""Paths in the repository that redgreen works on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from redgreen.errors import RegistryError
from redgreen.registry.layout import STATE, Layout, declares_layout, read_layout

PARTIAL: Final = ".partial"


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with a registry; `layout` says where below `root` its files are.

    A scratch run is thrown away: it goes to an ignored folder, and never to the reports or the ledger.
    """

    root: Path
    scratch: bool = False
    python: str = sys.executable
    layout: Layout = field(default_factory=Layout)

    @property
    def base(self) -> Path:
        """Folder that contains the report folders of this kind of run."""
        return self.state / "scratch" if self.scratch else self.root / self.layout.plans

    @property
    def state(self) -> Path:
        """Ignored folder for locks."""
        return self.root / STATE

    def make_state(self) -> Path:
        """Make the folder for locks and scratch runs, with a file that makes git ignore it.

        Raises:
            OSError: It cannot be made.
        """
        self.state.mkdir(exist_ok=True)
        note = self.state / ".gitignore"
        if not note.exists():
            note.write_text("*\n", encoding="utf-8")
        return self.state

    @property
    def ledger(self) -> Path:
        """The ledger document."""
        return self.root / self.layout.ledger

    def relativize(self, path: Path) -> str:
        """Return a path relative to the root, with forward slashes."""
        return path.relative_to(self.root).as_posix()

    def list_folders(self, *, unsealed: bool = False) -> Iterator[Path]:
        """Yield report folders in the order of initiative, time and name; the unfinished ones when asked for."""
        for stamp in sorted(self.base.glob("*/reports/*")):
            if not stamp.is_dir():
                continue
            for folder in sorted(stamp.iterdir()):
                if folder.is_dir() and folder.name.endswith(PARTIAL) == unsealed:
                    yield folder


def find_project(start: Path, *, root: Path | None = None, scratch: bool | None = None) -> Project:
    """Find the project around a folder, or take the folder `root` without looking.

    By default runs are thrown away (`scratch`) when the environment says `CI=true`.

    Raises:
        RegistryError: No folder here or above holds a registry.
    """
    if scratch is None:
        scratch = os.environ.get("CI", "").lower() in ("1", "true", "yes")
    if root is not None:
        return Project(root.resolve(), scratch, layout=read_layout(root))
    for folder in (start.resolve(), *start.resolve().parents):
        layout = read_layout(folder)
        if (folder / layout.registry).exists() or declares_layout(folder):
            return Project(folder, scratch, layout=layout)
    told = f"{Layout().registry}: there is no such file here or in a folder above; `redgreen init` makes one"
    raise RegistryError(told)
