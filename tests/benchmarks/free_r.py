"""Do held-out pixels stop the solver at the best error to be had, whatever the dose?

python tests/benchmarks/free_r.py [--method auto least_squares] [--seeds 5]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import product
from typing import Any
from unittest.mock import patch

import numpy as np
from report import header

from ptycho_torch.config import RefineSettings, SimulationSettings
from ptycho_torch.data.canvas import Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.objects import complex_error, remove_ramp
from ptycho_torch.evaluate.scores import find_illuminated_area, sum_illumination
from ptycho_torch.simulate.objects import ObjectName
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve import history, solve
from ptycho_torch.solve.safeguard import run_safeguarded

DOSES = (1e3, 1e4, 1e5, 1e6, 1e7)
OBJECTS: tuple[ObjectName, ...] = ("dead_leaves", "lines")
STEPS_PX = (8.0, 12.0)
EPOCHS = 40


def measure_error(scan: Scan) -> Callable[[np.ndarray], float]:
    """A function that gives the complex error of an object, its phase ramp removed, over the illuminated area."""
    assert scan.truth is not None
    assert scan.probe is not None
    truth = Frame(scan.positions_px, scan.patch_px).cut_from(scan.truth)
    mask = find_illuminated_area(sum_illumination(scan, scan.probe))
    return lambda pixels: complex_error(remove_ramp(pixels, truth, mask), truth, mask)


def run(scan: Scan, settings: RefineSettings) -> tuple[float, list[float], tuple[str, ...]]:
    """Error of the result, error after each epoch, and remarks."""
    error_of, errors = measure_error(scan), list[float]()

    def recorded(
        solver: Any, epochs: int, report: Callable[[Any], None], patience: int | None, stage: Any, describe: Any
    ) -> Any:
        def see(misfit: Any) -> None:
            errors.append(error_of(solver.state()[0].numpy()))
            report(misfit)

        return run_safeguarded(solver, epochs, see, patience, stage, describe)

    with patch.object(history, "run_safeguarded", recorded):
        found = solve.refine(scan, settings)
    return error_of(found.canvas.pixels), errors, found.remarks


def main() -> None:
    """Print for each scan the error of the result beside the least of any epoch, stopped or not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", nargs="+", choices=("auto", "least_squares", "poisson"), default=["auto"])
    parser.add_argument("--seeds", type=int, default=5)
    chosen = parser.parse_args()
    header(f"error where held-out pixels stop beside the least error of {EPOCHS} epochs, probe refined")
    for method in chosen.method:
        ratios = []
        for photons, name, step, seed in product(DOSES, OBJECTS, STEPS_PX, range(chosen.seeds)):
            scan = simulate_scan(
                SimulationSettings(object=name, object_px=128, step_px=step, photons=photons, seed=seed)
            )
            settings = RefineSettings(method=method, epochs=EPOCHS)
            error, errors, remarks = run(scan, settings)
            if len(errors) < EPOCHS:
                errors = [*errors, *run(scan, RefineSettings(method=method, epochs=EPOCHS, held_out=0))[1]]
            ratios.append(error / min(errors))
            print(
                f"{method:13} {photons:6.0e} {name:11} {step:3g} px seed {seed}, {len(scan)} patterns: "
                f"error {error:.4f}, least {min(errors):.4f}, ratio {ratios[-1]:.3f} {' '.join(remarks)}",
                flush=True,
            )
        within = sum(ratio <= 1.02 for ratio in ratios)
        print(f"{method}: {within} of {len(ratios)} within 2 %, worst {max(ratios):.3f}", flush=True)


if __name__ == "__main__":
    main()
