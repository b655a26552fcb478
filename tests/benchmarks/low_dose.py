"""What does the Poisson solver gain over least squares when photons are few?"""

from __future__ import annotations

import time

import torch
from report import header

from ptycho_torch.config import RefineSettings, SimulationSettings
from ptycho_torch.evaluate.scores import evaluate
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.solve import refine

EPOCHS = 30


def main() -> None:
    """Print the error of both solvers at each dose."""
    header("known probe, dead leaves, 64 px, error by dose and solver")
    for photons in (1e6, 1e5, 1e4, 1e3):
        scan = simulate_scan(SimulationSettings(photons=photons))
        for method in ("least_squares", "poisson"):
            settings = RefineSettings(method=method, epochs=EPOCHS, probe_start=1)
            started = time.perf_counter()
            found = refine(scan, settings)
            seconds = time.perf_counter() - started
            error = evaluate(scan, found.canvas, found.probe, device=torch.device("cpu"))["complex_error"]
            print(f"{photons:8.0e} photons {method:14} error {error:.4f} in {seconds:.1f} s")


if __name__ == "__main__":
    main()
