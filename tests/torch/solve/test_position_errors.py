"""Objects from scans with wrong positions: as good as with the true ones, once the positions are refined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptycho_torch.config import RefineSettings, SimulationSettings
from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.objects import complex_error, remove_ramp
from ptycho_torch.evaluate.scores import find_illuminated_area, sum_illumination
from ptycho_torch.simulate.objects import ObjectName
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.solve import refine

SETTINGS = RefineSettings(epochs=25, probe_start=1)
MARGIN_PX = 20
OBJECT_PX = 104


def simulate(name: ObjectName) -> Scan:
    """81 patterns, with vacuum around the object so that positions may be wrong by many pixels."""
    made = simulate_scan(
        SimulationSettings(object=name, object_px=OBJECT_PX, patch_px=32, probe_diameter_px=14, step_px=7)
    )
    assert made.truth is not None
    side = OBJECT_PX + 2 * MARGIN_PX
    wide = made.truth.cut_window((-MARGIN_PX, -MARGIN_PX), (side, side))
    return replace(made, truth=Canvas(wide, (-float(MARGIN_PX), -float(MARGIN_PX))))


def move(scan: Scan, shifts_px: np.ndarray) -> Scan:
    """The scan with positions displaced by shifts without a common part."""
    return replace(scan, positions_px=scan.positions_px + shifts_px - shifts_px.mean(axis=0))


def measure_error(scan: Scan, positions_px: np.ndarray) -> float:
    """Complex error of a reconstruction with these positions, whose mean only moves the object."""
    assert scan.truth is not None
    shift = (positions_px - scan.positions_px).mean(axis=0)
    found = refine(replace(scan, positions_px=positions_px - shift), SETTINGS)
    frame = Frame(scan.positions_px, scan.patch_px)
    truth = frame.cut_from(scan.truth)
    mask = find_illuminated_area(sum_illumination(scan, found.probe))
    image = found.canvas.cut_window(frame.origin_px, frame.shape_px)
    return complex_error(remove_ramp(image, truth, mask), truth, mask)


@pytest.mark.parametrize(("name", "rms_px", "seed"), [("siemens", 3, 0), ("lines", 2, 1), ("dead_leaves", 3, 1)])
def test_wrong_positions_cost_little_once_they_are_refined(name: ObjectName, rms_px: float, seed: int) -> None:
    scan = simulate(name)
    shifts_px = np.random.default_rng(seed).normal(0, rms_px / 2**0.5, scan.positions_px.shape)
    wrong = move(scan, shifts_px)
    found = refine(wrong, replace(SETTINGS, refine_positions="each"))
    assert found.scan is not None, "the positions were not refined"
    error, least = measure_error(scan, found.scan.positions_px), measure_error(scan, scan.positions_px)
    assert error < 1.1 * least, "the object is worse than with true positions"
