"""Objects from scans with wrong positions: as good as with the true ones, once the positions are refined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hard_scans import add_vacuum, displace, measure_error_at

from ptycho_torch.config import RefineSettings, SimulationSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.simulate.objects import ObjectName
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.solve import refine

SETTINGS = RefineSettings(epochs=25, probe_start=1)


def simulate(name: ObjectName) -> Scan:
    """81 patterns, with vacuum around the object so that positions may be wrong by many pixels."""
    made = simulate_scan(SimulationSettings(object=name, object_px=104, patch_px=32, probe_diameter_px=14, step_px=7))
    return add_vacuum(made, 20)


@pytest.mark.parametrize(("name", "rms_px", "seed"), [("siemens", 3, 0), ("lines", 2, 1), ("dead_leaves", 3, 1)])
def test_wrong_positions_cost_little_once_they_are_refined(name: ObjectName, rms_px: float, seed: int) -> None:
    scan = simulate(name)
    shifts_px = np.random.default_rng(seed).normal(0, rms_px / 2**0.5, scan.positions_px.shape)
    wrong = displace(scan, shifts_px)
    found = refine(wrong, replace(SETTINGS, refine_positions="each"))
    assert found.scan is not None, "the positions were not refined"
    error, least = (measure_error_at(scan, each.positions_px, SETTINGS) for each in (found.scan, scan))
    assert error < 1.1 * least, "the object is worse than with true positions"
