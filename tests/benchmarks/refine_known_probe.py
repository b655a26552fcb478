"""How close does the solver come to the truth in how long, with the probe known and 10⁶ photons a pattern?"""

from __future__ import annotations

import time

import torch
from report import header

from ptycho_torch.config import RefineSettings, SimulationSettings
from ptycho_torch.evaluate.scores import evaluate
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.solve import refine

EPOCHS = (5, 10, 15, 20, 30)


def main() -> None:
    """Print error and seconds for each object and number of epochs."""
    header("known probe, 1e6 photons a pattern, 64 px")
    refine(simulate_scan(SimulationSettings(object_px=128)), RefineSettings(epochs=2, probe_start=1))
    for name in ("dead_leaves", "siemens", "lines"):
        scan = simulate_scan(SimulationSettings(object=name))
        for epochs in EPOCHS:
            started = time.perf_counter()
            found = refine(scan, RefineSettings(epochs=epochs, probe_start=1))
            seconds = time.perf_counter() - started
            figures = evaluate(scan, found.canvas, found.probe, device=torch.device("cpu"))
            print(
                f"{name:12} {len(scan)} patterns, {epochs:3} epochs: error {figures['complex_error']:.4f}"
                f" in {seconds:.2f} s, R {figures['R']:.4f} (floor {figures['R_floor']:.4f})"
            )


if __name__ == "__main__":
    main()
