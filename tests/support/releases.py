"""The stored files of releases, and the layouts and versions of the formats that they contain."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "fixtures" / "releases"
# the first form that others could use; the first with bundles; the first with composed configurations
FIRST, BUNDLES, COMPOSED = "0.1.0.dev1", "0.1.0.dev2", "0.1.0.dev3"


@dataclass(frozen=True)
class Release:
    """A release whose files are stored.

    Attributes:
        name: its version.
    """

    name: str

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return FOLDER / self.name

    @property
    def description(self) -> dict[str, Any]:
        """Its commit, the commands that made its files, and their layouts."""
        values: dict[str, Any] = json.loads((self.folder / "release.json").read_text(encoding="utf-8"))
        return values

    def copy(self, folder: Path) -> Path:
        """A copy of its files that a test may change."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return folder


def list_releases() -> list[Release]:
    """All releases whose files are stored."""
    return [Release(path.parent.name) for path in sorted(FOLDER.glob("*/release.json"))]
