"""How much of the error that wrong positions cause does their refinement remove?

Run it from the top: `PYTHONPATH=.:tests/support python tests/benchmarks/positions.py`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import product

import numpy as np
from hard_scans import add_vacuum, measure_error_at
from report import header

from ptycho_torch.config import RefineSettings, SimulationSettings
from ptycho_torch.simulate.objects import ObjectName
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.solve import refine

OBJECTS: tuple[ObjectName, ...] = ("dead_leaves", "lines", "siemens")
SETTINGS = RefineSettings(probe_start=1)


def main() -> None:
    """Print the error with true, wrong and refined positions."""
    header("positions wrong by a normal deviate, known probe, 1e6 photons; error after removal of shift and ramp")
    for name, rms_px, seed in product(OBJECTS, (1.0, 2.0, 3.0), (0, 1)):
        scan = add_vacuum(simulate_scan(SimulationSettings(object=name, object_px=160)), 16)
        rng = np.random.default_rng(seed)
        wrong_px = scan.positions_px + rng.normal(0, rms_px / 2**0.5, scan.positions_px.shape)
        started = time.process_time()
        found = refine(replace(scan, positions_px=wrong_px), replace(SETTINGS, refine_positions="each"))
        seconds = time.process_time() - started
        refined_px = (found.scan or scan).positions_px
        true, wrong, refined = (
            measure_error_at(scan, each, SETTINGS) for each in (scan.positions_px, wrong_px, refined_px)
        )
        print(
            f"{name:11} {rms_px:g} px rms, seed {seed}: true {true:.4f}, wrong {wrong:.4f}, refined {refined:.4f} "
            f"({refined / true:.3f} of true), R free {found.corrections[0].free_before:.4f} before, "
            f"{found.corrections[0].free_after:.4f} after, {seconds:.0f} s of processor time",
            flush=True,
        )


if __name__ == "__main__":
    main()
