"""Has the solver got better? Its error beside that of the better of the two former solvers, by object, step and dose.

python tests/benchmarks/solver_grid.py [--steps 10 14] [--doses 1e6] [--objects lines] [--probe fixed refined]
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path

from report import header

from ptycho_torch.config import RefineSettings, SimulationSettings
from ptycho_torch.data.canvas import Frame
from ptycho_torch.evaluate.objects import complex_error, remove_ramp
from ptycho_torch.evaluate.scores import find_illuminated_area, sum_illumination
from ptycho_torch.simulate.objects import ObjectName
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.solve import refine

FORMER = Path(__file__).with_name("solver_grid.json")
START = {"fixed": 1.0, "refined": 0.1}


def error_of(name: ObjectName, step_px: float, photons: float, probe: str) -> float:
    """Complex error of a default run after its phase ramp is removed, over what the true probe lights."""
    scan = simulate_scan(SimulationSettings(object=name, step_px=step_px, photons=photons))
    assert scan.truth is not None
    assert scan.probe is not None
    truth = Frame(scan.positions_px, scan.patch_px).cut_from(scan.truth)
    mask = find_illuminated_area(sum_illumination(scan, scan.probe))
    found = refine(scan, RefineSettings(probe_start=START[probe])).canvas.pixels
    return complex_error(remove_ramp(found, truth, mask), truth, mask)


def main() -> None:
    """Print each cell as it is found, and the worst ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", nargs="+", type=float, default=[6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 20.0])
    parser.add_argument("--doses", nargs="+", type=float, default=[1e3, 1e4, 1e5, 1e6, 1e7])
    parser.add_argument("--objects", nargs="+", default=["dead_leaves", "siemens", "lines"])
    parser.add_argument("--probe", nargs="+", choices=START, default=list(START))
    chosen = parser.parse_args()
    stored = json.loads(FORMER.read_text(encoding="utf-8"))
    header(f"error after ramp removal, default settings; former: {stored['note']}")
    worst = 0.0
    for probe, photons, step, name in product(chosen.probe, chosen.doses, chosen.steps, chosen.objects):
        former = stored["errors"].get(f"{name} {step:g} {photons:.0e} {probe}")
        error = error_of(name, step, photons, probe)
        beside = (
            "not measured"
            if former is None
            else f"{min(former.values()):.4f}, ratio {error / min(former.values()):.2f}"
        )
        worst = worst if former is None else max(worst, error / min(former.values()))
        print(f"{probe:8} {photons:6.0e} photons {step:4g} px {name:12} {error:.4f}, former {beside}", flush=True)
    print(f"worst ratio {worst:.2f}")


if __name__ == "__main__":
    main()
