"""Objects from scans whose probe or background is not what their files say, beside those from sound scans.

PYTHONPATH=.:tests/support python tests/benchmarks/corrections.py [modes] [background] [blind] [disc] [--seeds 2]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from hard_scans import make_modes, measure_error
from report import header

from ptycho_torch.config import RefineSettings, SimulationSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.physics.propagate import propagate, propagate_back
from ptycho_torch.simulate.objects import ObjectName
from ptycho_torch.simulate.probes import ProbeName, zone_plate
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.scan_model import Solution
from ptycho_torch.solve.solve import refine

OBJECTS: tuple[ObjectName, ...] = ("dead_leaves", "lines", "siemens")
SIMULATION = SimulationSettings(object_px=160)
PATCH_PX = SIMULATION.patch_px
MODES = {2: (0.7, 0.3), 3: (0.6, 0.25, 0.15)}


def time_refinement(scan: Scan, settings: RefineSettings) -> tuple[Solution, float]:
    """A reconstruction and its seconds of processor time."""
    started = time.process_time()
    return refine(scan, settings), time.process_time() - started


def overlap(found: np.ndarray, true: np.ndarray) -> list[float]:
    """How much of each true mode's power the space of as many modes found contains."""
    basis = np.linalg.svd(found.reshape(len(found), -1), full_matrices=False)[2]
    return [float(np.linalg.norm(basis.conj() @ mode.ravel()) / np.linalg.norm(mode)) for mode in true]


def compare_modes(seeds: int) -> None:
    """Several modes from a single one, beside the same scan with its modes known, and a scan of one mode."""
    main = zone_plate(PATCH_PX, SIMULATION.probe_diameter_px)[0]
    for name, seed in product(OBJECTS, range(seeds)):
        simulation = replace(SIMULATION, object=name, seed=seed)
        scan = simulate_scan(simulation)
        single = {epochs: measure_error(scan, refine(scan, RefineSettings(epochs=epochs))) for epochs in (30, 60)}
        for number, shares in MODES.items():
            scan = simulate_scan(simulation, make_modes(main, shares))
            assert scan.probe is not None
            start = replace(scan, probe=scan.probe[:1])
            known = measure_error(scan, refine(scan, RefineSettings(epochs=60, probe_start=1, probe_modes=number)))
            for epochs in (30, 60):
                found, seconds = time_refinement(start, RefineSettings(epochs=epochs, probe_modes=number))
                error = measure_error(scan, found)
                overlaps = ", ".join(f"{value:.3f}" for value in overlap(found.probe, scan.probe))
                print(
                    f"{name:11} seed {seed}, {number} modes, {epochs} epochs: error {error:.4f} (modes known "
                    f"{known:.4f}; one mode {single[epochs]:.4f}, ratio {error / single[epochs]:.2f}), "
                    f"overlaps {overlaps}, {seconds:.1f} s",
                    flush=True,
                )


def compare_backgrounds(seeds: int) -> None:
    """A background of a fifth of the mean, found from the patterns, beside the same background known."""
    level = 0.2 * SIMULATION.photons / PATCH_PX**2
    for name, seed, step in product(OBJECTS, range(seeds), (6.0, 8.0)):
        scan = simulate_scan(replace(SIMULATION, object=name, seed=seed, step_px=step, background_counts=level))
        known = measure_error(scan, refine(scan, RefineSettings()))
        unknown = replace(scan, background=None)
        without = measure_error(scan, refine(unknown, RefineSettings()))
        found, seconds = time_refinement(unknown, RefineSettings(refine_background="constant"))
        print(
            f"{name:11} seed {seed}, {step:g} px, {len(scan)} patterns: error {measure_error(scan, found):.4f}, "
            f"background known {known:.4f}, ignored {without:.4f}, {seconds:.1f} s",
            flush=True,
        )


def _make_disc(diameter_px: float, defocus: float = 0.0) -> np.ndarray:
    """A pinhole with soft edges, (1, h, w), moved out of focus by the phase π·z·q²."""
    offset = np.arange(PATCH_PX) - PATCH_PX // 2
    radius = np.hypot(offset[:, None], offset)
    wave = propagate(torch.from_numpy(np.clip(diameter_px / 2 - radius + 0.5, 0, 1).astype(np.complex64)))
    frequency = np.fft.fftshift(np.fft.fftfreq(PATCH_PX))
    phase = torch.from_numpy(np.exp(1j * np.pi * defocus * (frequency[:, None] ** 2 + frequency**2)))
    return propagate_back((wave * phase).to(torch.complex64)).numpy()[None]


PROBES: dict[str, Callable[[], np.ndarray | None]] = {
    "zone plate": lambda: None,
    "gaussian": lambda: None,
    "pinhole": lambda: _make_disc(18),
    "pinhole out of focus": lambda: _make_disc(18, 60.0),
}


def compare_blind(seeds: int) -> None:
    """No probe, beside the true probe, which is refined too."""
    ratios = []
    for kind, seed in product(PROBES, range(seeds)):
        name = OBJECTS[seed % len(OBJECTS)]
        form: ProbeName = "gaussian" if kind == "gaussian" else "zone_plate"
        scan = simulate_scan(replace(SIMULATION, object=name, seed=seed, probe=form), PROBES[kind]())
        true = measure_error(scan, refine(scan, RefineSettings()))
        found, seconds = time_refinement(replace(scan, probe=None), RefineSettings())
        ratios.append(measure_error(scan, found) / true)
        print(
            f"{kind:20} {name:11} seed {seed}: error {ratios[-1] * true:.4f} without a probe, {true:.4f} with the true "
            f"one, ratio {ratios[-1]:.2f}, R free {found.free_error:.4f}, {seconds:.1f} s",
            flush=True,
        )
    print(f"within 15 %: {sum(ratio <= 1.15 for ratio in ratios)} of {len(ratios)}")


def compare_discs(seeds: int) -> None:
    """A flat disc in place of the probe, on a dense scan."""
    offset = np.arange(PATCH_PX) - PATCH_PX // 2
    disc = np.hypot(offset[:, None], offset) < SIMULATION.probe_diameter_px / 2
    for name, seed in product(OBJECTS, range(seeds)):
        scan = simulate_scan(SimulationSettings(object=name, seed=seed))
        useless = replace(scan, probe=disc.astype(np.complex64)[None])
        for guess in ("given", "patterns"):
            started = time.perf_counter()
            found, seconds = time_refinement(useless, RefineSettings(probe_guess=guess))
            print(
                f"{name:11} seed {seed}, {len(scan)} patterns, probe_guess {guess}: error "
                f"{measure_error(scan, found):.4f} in {time.perf_counter() - started:.1f} s, {seconds:.1f} s of "
                "processor time",
                flush=True,
            )


COMPARISONS = {
    "modes": compare_modes,
    "background": compare_backgrounds,
    "blind": compare_blind,
    "disc": compare_discs,
}


def main() -> None:
    """Print the error of each scan."""
    parser = argparse.ArgumentParser(description=(__doc__ or Path(__file__).stem).splitlines()[0])
    parser.add_argument("comparisons", nargs="*", help=f"of {', '.join(COMPARISONS)}; all by default")
    parser.add_argument("--seeds", type=int, default=2)
    chosen = parser.parse_args()
    header("errors after removal of shift and ramp, 1e6 photons")
    for name in chosen.comparisons or COMPARISONS:
        COMPARISONS[name](chosen.seeds)


if __name__ == "__main__":
    main()
