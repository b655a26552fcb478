"""A run of the solver that is ended at any moment goes on from its saved state as if it had not been."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ending_state import Ending, Lost

from ptycho_torch.config import RefineSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.solve.scan_model import Solution
from ptycho_torch.solve.solve import refine

CASES: dict[str, dict[str, Any]] = {
    "least squares": {"method": "least_squares"},
    "poisson after least squares": {"method": "poisson", "epochs": 6},
    "auto": {"epochs": 6},
    "no held-out pixels": {"held_out": 0.0},
    "three modes": {"probe_modes": 3},
    "fixed probe": {"probe_start": 1.0},
    "background": {"refine_background": "smooth"},
    "positions": {"refine_positions": "each", "detector_centre": True},
}


def assert_same(found: Solution, wanted: Solution) -> None:
    assert np.array_equal(found.canvas.pixels, wanted.canvas.pixels)
    assert np.array_equal(found.probe, wanted.probe)
    assert (found.errors, found.free_errors, found.method) == (wanted.errors, wanted.free_errors, wanted.method)
    assert (found.remarks, found.corrections) == (wanted.remarks, wanted.corrections)
    assert (found.scan is None) == (wanted.scan is None)
    if found.scan and wanted.scan:
        assert np.array_equal(found.scan.positions_px, wanted.scan.positions_px)
        assert str(found.scan.background) == str(wanted.scan.background)


@pytest.fixture
def displaced_scan(small_scan: Scan) -> Scan:
    """A scan with a background whose positions are wrong by about a pixel."""
    moved = small_scan.positions_px + np.random.default_rng(1).normal(0, 1, small_scan.positions_px.shape)
    return replace(small_scan, counts=small_scan.counts + np.float32(20), positions_px=moved, truth=None)


@pytest.mark.parametrize("case", CASES)
def test_a_lost_run_goes_on_to_the_same_result(case: str, displaced_scan: Scan, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"epochs": 4, "batches": 2, **CASES[case]}
    settings = RefineSettings(**asked)
    whole = Ending(tmp_path / "whole")
    wanted = refine(displaced_scan, settings, stage=whole.stage)
    for last in (whole.reached // 3, whole.reached - 1):
        folder = tmp_path / str(last)
        with pytest.raises(Lost):
            refine(displaced_scan, settings, stage=Ending(folder, last).stage)
        again = Ending(folder, resume=True)
        assert_same(refine(displaced_scan, settings, stage=again.stage), wanted)
        assert again.reached == whole.reached - last, "what was done before was done again"
