"""A folder that looks like the root of a machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def make_machine(root: Path, files: Mapping[str, str]) -> Path:
    """Write files by their names below a folder; returns the folder."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root
