from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ptycho_torch.config import RefineSettings, SimulationSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.workflows.refinement import refine_scan

SETTINGS = SimulationSettings(object_px=80, patch_px=32, probe_diameter_px=10, step_px=4, photons=1e5, seed=4)


def verdict_on(scan: Scan) -> str:
    return refine_scan(scan, RefineSettings(), device="cpu").verdict.word


@pytest.mark.parametrize("photons", [1e4, 1e6])
def test_a_sound_scan_is_called_good(photons: float) -> None:
    assert verdict_on(simulate_scan(replace(SETTINGS, photons=photons))) == "good"


SPOIL: dict[str, Callable[[Scan], Scan]] = {
    "axes": lambda scan: replace(scan, counts=scan.counts.transpose(0, 2, 1).copy(), truth=None),
    "sign": lambda scan: replace(scan, positions_px=scan.positions_px * [-1, 1], truth=None),
    "unit": lambda scan: replace(scan, positions_px=scan.positions_px / 3, truth=None),
    "order": lambda scan: replace(scan, positions_px=np.roll(scan.positions_px, 5, axis=0), truth=None),
}


@pytest.mark.parametrize("name", SPOIL)
def test_a_spoilt_scan_is_not(name: str) -> None:
    assert verdict_on(SPOIL[name](simulate_scan(SETTINGS))) != "good"


def test_a_single_pattern_is_judged_and_not_called_good() -> None:
    assert verdict_on(simulate_scan(SETTINGS).take(np.array([0]))) == "doubtful"


def test_patterns_that_are_all_the_same_tell_nothing() -> None:
    scan = simulate_scan(SETTINGS)
    same = replace(scan, counts=np.repeat(scan.counts[:1], len(scan), axis=0), truth=None)
    verdict = refine_scan(same, RefineSettings(), device="cpu").verdict
    assert str(verdict).startswith("doubtful because the patterns")
    assert "differ only by noise" in verdict.reasons[0]


def test_patterns_that_do_not_overlap_are_told() -> None:
    scan = simulate_scan(replace(SETTINGS, object_px=160, step_px=20))
    assert "overlap" in str(refine_scan(scan, RefineSettings(), device="cpu").verdict)


def test_wrong_signs_on_both_axes_are_told_from_a_probe_that_is_not_its_own_twin() -> None:
    settings = SimulationSettings(
        object="siemens", object_px=116, patch_px=48, probe="gaussian", probe_diameter_px=15, photons=5e5, seed=4
    )
    scan = simulate_scan(settings)
    turned = replace(scan, positions_px=-scan.positions_px, truth=None)
    assert "both signs" not in str(refine_scan(scan, RefineSettings(), device="cpu").verdict)
    assert "both signs" in str(refine_scan(turned, RefineSettings(), device="cpu").verdict)
