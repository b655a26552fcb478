"""How much of the error that wrong positions cause does their refinement remove?"""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import product

import numpy as np
from report import header

from ptycho_torch.config import RefineSettings, SimulationSettings
from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.objects import complex_error, remove_ramp
from ptycho_torch.evaluate.scores import find_illuminated_area, sum_illumination
from ptycho_torch.simulate.objects import ObjectName
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.solve import refine

MARGIN_PX = 16
OBJECTS: tuple[ObjectName, ...] = ("dead_leaves", "lines", "siemens")
SETTINGS = RefineSettings(probe_start=1)


def simulate(name: ObjectName) -> Scan:
    """A scan with vacuum around the object, so that positions may be wrong."""
    scan = simulate_scan(SimulationSettings(object=name, object_px=160))
    assert scan.truth is not None
    side = scan.truth.pixels.shape[0] + 2 * MARGIN_PX
    wide = scan.truth.cut_window((-MARGIN_PX, -MARGIN_PX), (side, side))
    return replace(scan, truth=Canvas(wide, (-float(MARGIN_PX), -float(MARGIN_PX))))


def measure_error(scan: Scan, positions_px: np.ndarray) -> float:
    """Complex error of a reconstruction with these positions, whose mean, which moves only the object, is corrected."""
    assert scan.truth is not None
    shift = (positions_px - scan.positions_px).mean(axis=0)
    found = refine(replace(scan, positions_px=positions_px - shift), SETTINGS)
    frame = Frame(scan.positions_px, scan.patch_px)
    truth = frame.cut_from(scan.truth)
    mask = find_illuminated_area(sum_illumination(scan, found.probe))
    image = found.canvas.cut_window(frame.origin_px, frame.shape_px)
    return complex_error(remove_ramp(image, truth, mask), truth, mask)


def main() -> None:
    """Print the error with true, wrong and refined positions."""
    header("positions wrong by a normal deviate, known probe, 1e6 photons; error after ramp removal")
    for name, rms_px, seed in product(OBJECTS, (1.0, 2.0, 3.0), (0, 1)):
        scan = simulate(name)
        rng = np.random.default_rng(seed)
        wrong_px = scan.positions_px + rng.normal(0, rms_px / 2**0.5, scan.positions_px.shape)
        started = time.process_time()
        found = refine(replace(scan, positions_px=wrong_px), replace(SETTINGS, refine_positions="each"))
        seconds = time.process_time() - started
        refined_px = (found.scan or scan).positions_px
        true, wrong, refined = (measure_error(scan, each) for each in (scan.positions_px, wrong_px, refined_px))
        print(
            f"{name:11} {rms_px:g} px rms, seed {seed}: true {true:.4f}, wrong {wrong:.4f}, refined {refined:.4f} "
            f"({refined / true:.3f} of true), R free {found.corrections[0].free_before:.4f} before, "
            f"{found.corrections[0].free_after:.4f} after, {seconds:.0f} s of processor time",
            flush=True,
        )


if __name__ == "__main__":
    main()
