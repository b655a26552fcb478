"""Draw the pictures of docs/gallery.md: simulate a scan, reconstruct it, for kinds of objects, doses and steps.

python docs/site/gallery.py [NAME ...]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from sources import ROOT
from symptoms import SYMPTOMS, make_scan, make_title, reconstruct, save_pictures

PICTURES = ROOT / "docs" / "pictures" / "gallery"
_PLAIN = SYMPTOMS["noise"]
# options of `simulate` by title, those of `refine` for the whole row
ROWS: dict[str, tuple[dict[str, str], str]] = {
    "objects": (
        {
            "dead leaves": "--object dead_leaves",
            "Siemens star": "--object siemens",
            "lines": "--object lines",
        },
        "",
    ),
    "doses": ({f"{photons} photons": f"--photons {photons}" for photons in ("1e3", "1e4", "1e5")}, ""),
    "steps": ({f"step {step} px": f"--step_px {step}" for step in (5, 10, 16)}, ""),
    "probes": (
        {
            "zone plate": "--probe zone_plate",
            "Gaussian": "--probe gaussian",
            "spiral path": "--path spiral",
        },
        "",
    ),
}


def main(names: list[str]) -> None:
    """Draw the named rows, or all of them."""
    for name in names or ROWS:
        with tempfile.TemporaryDirectory() as folder:
            draw(name, Path(folder))


def draw(name: str, folder: Path) -> None:
    """Simulate and reconstruct the scans of a row, and draw them side by side."""
    scans, options = ROWS[name]
    titles = {}
    for number, (title, simulated) in enumerate(scans.items()):
        scan = make_scan(_PLAIN, f"--object dead_leaves {simulated}", folder / f"{number}.npz")
        titles[folder / str(number)] = make_title(title, reconstruct(scan, options, folder / str(number)))
    save_pictures(titles, PICTURES / f"{name}.png")
    print(name, *(title.replace("\n", ": ") for title in titles.values()), sep=" | ", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
