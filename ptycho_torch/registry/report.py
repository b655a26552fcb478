"""What a comparison leaves in its folder: figures and verdict, and a picture for each scan."""

from __future__ import annotations

import re
from pathlib import Path

from ptycho_torch.registry.comparison import Comparison
from ptycho_torch.storage.writing import write_json

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


def write_comparison(comparison: Comparison, folder: Path) -> dict[str, str]:
    """Write `comparison.json` and a picture for each scan; returns the names of the files by what they show.

    Raises:
        OutputError: a file cannot be written.
    """
    written = {"comparison": "comparison.json"}
    for number, part in enumerate(comparison.scans, start=1):
        name = _UNSAFE.sub("_", part.scan.name)[:60]
        # scans of several folders can have the same name
        written[f"picture {number}"] = f"{number:03d}_{name}.png"
        part.save_picture(comparison.names, part.scan.name, folder / written[f"picture {number}"])
    write_json(comparison.to_dict(), folder / written["comparison"])
    return written
