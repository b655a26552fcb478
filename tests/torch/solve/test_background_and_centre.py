"""Background and detector centre, found in scans that the tests spoilt themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hard_scans import measure_error

from ptycho_torch.config import RefineSettings, SimulationSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.solve import choose_method, refine

SETTINGS = RefineSettings(epochs=15, probe_start=1)
SIMULATION = SimulationSettings(object_px=96, patch_px=32, probe_diameter_px=14, step_px=7, photons=1e6)


@pytest.fixture(scope="module")
def scan() -> Scan:
    return simulate_scan(SIMULATION)


def test_an_unknown_constant_background_is_found() -> None:
    level = 0.2 * SIMULATION.photons / SIMULATION.patch_px**2
    known = simulate_scan(replace(SIMULATION, background_counts=level))
    unknown = replace(known, background=None)
    found = refine(unknown, replace(SETTINGS, refine_background="constant"))
    (correction,) = found.corrections
    assert correction.is_kept
    assert correction.free_after < 0.8 * correction.free_before
    assert correction.figures["counts"] == pytest.approx(level, rel=0.03)
    assert correction.figures["share"] == pytest.approx(0.2 / 1.2, rel=0.05)
    assert measure_error(known, found) < 1.15 * measure_error(known, refine(known, SETTINGS))


def test_the_object_that_is_found_with_a_background_is_handed_on() -> None:
    known = simulate_scan(replace(SIMULATION, background_counts=0.2 * SIMULATION.photons / SIMULATION.patch_px**2))
    settings = replace(SETTINGS, epochs=2)
    found = refine(replace(known, background=None), replace(settings, refine_background="constant"))
    error, from_vacuum = (measure_error(known, each) for each in (found, refine(known, settings)))
    assert error < 0.7 * from_vacuum, (error, from_vacuum)


def test_an_unknown_smooth_background_is_found(scan: Scan) -> None:
    rows = np.linspace(0, 1, 32)[:, None]
    background = (100 + 300 * rows + np.zeros((32, 32))).astype(np.float32)
    counts = scan.counts + np.random.default_rng(0).poisson(background, scan.counts.shape)
    good = np.ones((32, 32), bool)
    good[4:6] = False
    spoilt = replace(scan, counts=np.where(good, counts, 1e5).astype(np.float32), good_pixels=good)
    found = refine(spoilt, replace(SETTINGS, refine_background="smooth"))
    assert found.scan is not None
    assert found.scan.background is not None
    difference = np.abs(found.scan.background - background)[good]
    assert np.median(difference) < 0.05 * background.mean()
    constant = refine(spoilt, replace(SETTINGS, refine_background="constant"))
    assert found.free_error < constant.free_error


def test_a_scan_without_background_keeps_none(scan: Scan) -> None:
    found = refine(scan, replace(SETTINGS, refine_background="constant"))
    (correction,) = found.corrections
    assert not correction.is_kept or correction.figures["share"] < 2e-3
    assert measure_error(scan, found) < 1.1 * measure_error(scan, refine(scan, SETTINGS))


def test_a_correction_that_leads_nowhere_costs_no_result(scan: Scan) -> None:
    alike = replace(scan, counts=np.full_like(scan.counts, 5))
    found = refine(alike, replace(SETTINGS, epochs=3, refine_background="constant"))
    assert not found.corrections
    assert found.scan is None
    assert found.remarks == ("background: not corrected, as no result was found (all photons would be background)",)


def test_noise_of_a_background_calls_for_the_poisson_solver(scan: Scan) -> None:
    settings = RefineSettings()
    assert choose_method(settings, scan) == "least_squares"
    faint, bright = (np.full((32, 32), share * 1e6 / 1024, np.float32) for share in (1e-3, 0.05))
    assert choose_method(settings, replace(scan, background=faint)) == "least_squares"
    assert choose_method(settings, replace(scan, background=bright)) == "poisson"


def displaced(scan: Scan, shift_px: tuple[int, int]) -> Scan:
    return replace(scan, counts=np.roll(scan.counts, shift_px, (1, 2)))


def test_displaced_patterns_are_found(scan: Scan) -> None:
    found = refine(displaced(scan, (5, -3)), replace(SETTINGS, detector_centre=True))
    (correction,) = found.corrections
    assert correction.figures == {"row_px": 5, "column_px": -3}
    assert correction.is_kept
    assert correction.free_after < 0.5 * correction.free_before
    assert measure_error(scan, found) < 1.1 * measure_error(scan, refine(scan, SETTINGS))


def test_patterns_in_their_place_are_left_there(scan: Scan) -> None:
    found = refine(scan, replace(SETTINGS, detector_centre=True))
    assert found.corrections[0].figures == {"row_px": 0, "column_px": 0}
    assert not found.corrections[0].is_kept
