"""Does the verdict tell good runs from spoilt ones? Thirty of each, on scans that its limits were not read off.

python tests/benchmarks/verdicts.py [FIRST_SEED [FIGURES.jsonl]]
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from report import header

from ptycho_torch.config import RefineSettings, SimulationSettings
from ptycho_torch.data.canvas import Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.physics.probe import shift_probe
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.workflows.refinement import refine_scan

SPOILT = [
    *["axes"] * 3, *["one sign"] * 3, *["both signs"] * 3,
    *["scaled 0.5", "scaled 0.7", "scaled 1.15", "scaled 1.5", "scaled 2"] * 2,
    *["near field"] * 4, *["half probe"] * 3, *["no overlap"] * 4,
]  # fmt: skip
Random = np.random.Generator


def measured(scan: Scan, random: Random, near_field: float = 0.0) -> NDArray[np.float32]:
    """Counts of the scan's own probe, written out in NumPy; with a distance, in the near field."""
    frame, side = Frame(scan.positions_px, scan.patch_px), scan.patch_px
    assert scan.truth is not None
    assert scan.probe is not None
    seen = frame.cut_from(scan.truth)
    probes = shift_probe(torch.from_numpy(scan.probe.copy()), torch.from_numpy(frame.shifts_px))[:, 0].numpy()
    exits = np.stack(
        [probe * seen[r : r + side, c : c + side] for probe, (r, c) in zip(probes, frame.corners_px, strict=True)]
    )
    if near_field:
        frequency = np.fft.fftfreq(side)
        phase = np.exp(-1j * np.pi * near_field * (frequency[:, None] ** 2 + frequency**2))
        waves = np.fft.ifft2(np.fft.fft2(exits) * phase)
    else:
        waves = np.fft.fftshift(np.fft.fft2(exits, norm="ortho"), axes=(1, 2))
    return random.poisson(np.abs(waves) ** 2).astype(np.float32)


def simulated(random: Random, seed: int, *, overlap: bool = True) -> Scan:
    """A scan of a random kind; neighbours 30 to 55 % of the probe's width apart but 6 to 14 px, or twice the width."""
    side = int(random.choice([32, 48, 64, 96]))
    width = side * random.uniform(0.28, 0.36)
    step = width * random.uniform(0.3, 0.55) if overlap else 2 * width
    step = min(max(step, 6.0), 14.0) if overlap else step
    kind = random.choice(["gaussian", "zone_plate", "disc"])
    settings = SimulationSettings(
        object=random.choice(["dead_leaves", "siemens", "lines"]),
        object_px=int(side + 8.5 * step + 3),
        patch_px=side,
        probe="zone_plate" if kind == "zone_plate" else "gaussian",
        probe_diameter_px=width,
        path=random.choice(["raster", "spiral"]),
        step_px=step,
        photons=10 ** random.uniform(4, 7),
        seed=seed,
    )
    scan = replace(simulate_scan(settings), name=f"{settings.object} {kind}")
    if kind == "disc":
        offset = np.arange(side) - side // 2
        disc = np.clip((width / 2 + 0.5 - np.hypot(offset[:, None], offset)), 0, 1)[None] + 0j
        scan = replace(scan, probe=disc * (settings.photons / np.sum(np.abs(disc) ** 2)) ** 0.5)
        scan = replace(scan, counts=measured(scan, random))
    return scan


def narrowed(probe: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """The probe at half its width."""
    side = probe.shape[-1]
    small = np.zeros_like(probe)
    inner = slice(side // 2 - side // 4, side // 2 + (side // 2 - side // 4))
    small[:, inner, inner] = probe[:, ::2, ::2]
    return small


def spoilt(scan: Scan, how: str, random: Random) -> Scan:
    """The scan with one mistake in how it is described."""
    middle = scan.positions_px.mean(axis=0)
    moves: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
        "axes": lambda offset: offset[:, ::-1],
        "one sign": lambda offset: offset * random.permutation([-1, 1]),
        "both signs": lambda offset: -offset,
    }
    if how in moves:
        return replace(scan, positions_px=middle + moves[how](scan.positions_px - middle), truth=None)
    if how.startswith("scaled"):
        factor = float(how.split()[1])
        return replace(scan, positions_px=middle + factor * (scan.positions_px - middle), truth=None)
    if how == "near field":
        return replace(scan, counts=measured(scan, random, random.uniform(10, 60)), truth=None)
    if how == "half probe" and scan.probe is not None:
        return replace(scan, probe=narrowed(scan.probe))
    return scan


def main() -> None:
    """Print every run and how often each kind gets each verdict."""
    first = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    header("verdicts on thirty good and thirty spoilt runs, 30 epochs")
    table: Counter[tuple[str, str]] = Counter()
    kinds = ["good"] * 30 + SPOILT
    for number, how in enumerate(kinds):
        random = np.random.default_rng(first + number)
        scan = simulated(random, first + number, overlap=how != "no overlap")
        found = refine_scan(spoilt(scan, how, random), RefineSettings(), device="cpu")
        table[how, found.verdict.word] += 1
        print(f"{how:12} {scan.name:22} {scan.patch_px} px {len(scan):4} patterns {scan.photons_per_pattern:8.1e} "
              f"{found.verdict}")  # fmt: skip
        if len(sys.argv) > 2:
            row = {"kind": how, "name": scan.name, "side": scan.patch_px, "photons": scan.photons_per_pattern}
            row |= found.metrics | {"verdict": found.verdict.word, "method": found.solution.method}
            with Path(sys.argv[2]).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
    print(f"\n{'':12} good doubtful failed")
    for how in dict.fromkeys(kinds):
        print(f"{how:12} " + " ".join(f"{table[how, word]:5}" for word in ("good", "doubtful", "failed")))
    noticed = sum(count for (how, word), count in table.items() if how != "good" and word != "good")
    print(f"noticed {noticed} of {len(SPOILT)}; good ones called otherwise: {30 - table['good', 'good']} of 30")


if __name__ == "__main__":
    main()
