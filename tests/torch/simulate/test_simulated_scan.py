from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from numpy_physics import patterns

from ptycho_torch.config import SimulationSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ConfigError
from ptycho_torch.simulate.scan import simulate_scan


def test_saved_object_probe_and_positions_explain_the_counts(small_scan: Scan) -> None:
    assert small_scan.probe is not None
    assert small_scan.truth is not None
    assert small_scan.truth.origin_px == (0.0, 0.0)
    expected = patterns(
        small_scan.truth.pixels.astype(complex), small_scan.probe.astype(complex), small_scan.positions_px
    )
    # the variance of a Poisson number is its mean, however small
    spread = np.sum((small_scan.counts - expected) ** 2) / np.sum(expected)
    assert spread == pytest.approx(1, abs=0.05)


def test_the_same_settings_give_the_same_scan(simulation: SimulationSettings, small_scan: Scan) -> None:
    again = simulate_scan(simulation)
    np.testing.assert_array_equal(again.counts, small_scan.counts)
    np.testing.assert_array_equal(again.positions_px, small_scan.positions_px)
    assert again.truth is not None
    assert small_scan.truth is not None
    np.testing.assert_array_equal(again.truth.pixels, small_scan.truth.pixels)


def test_the_dose_changes_noise_only(simulation: SimulationSettings, small_scan: Scan) -> None:
    faint = simulate_scan(replace(simulation, photons=1e3))
    np.testing.assert_array_equal(faint.positions_px, small_scan.positions_px)
    assert faint.truth is not None
    assert small_scan.truth is not None
    np.testing.assert_array_equal(faint.truth.pixels, small_scan.truth.pixels)


@pytest.mark.parametrize("setting", ["object", "path", "probe"])
def test_every_choice_makes_a_difference(simulation: SimulationSettings, small_scan: Scan, setting: str) -> None:
    other = {"object": "siemens", "path": "spiral", "probe": "zone_plate"}[setting]
    found = simulate_scan(SimulationSettings.from_dict(simulation.to_dict() | {setting: other}))
    assert found.counts.shape != small_scan.counts.shape or np.abs(found.counts - small_scan.counts).max() > 10


@pytest.mark.parametrize("photons", [1e2, 1e4, 1e7])
def test_the_dose_asked_for_is_reached(simulation: SimulationSettings, photons: float) -> None:
    scan = simulate_scan(replace(simulation, photons=photons))
    assert scan.photons_per_pattern == pytest.approx(photons, rel=0.05)
    assert (scan.counts == np.round(scan.counts)).all()


def test_a_background_adds_its_mean_to_every_pixel_and_is_known(
    simulation: SimulationSettings, small_scan: Scan
) -> None:
    lit = simulate_scan(replace(simulation, background_counts=20.0))
    np.testing.assert_array_equal(lit.background, np.full((32, 32), 20.0))
    np.testing.assert_array_equal(lit.probe, small_scan.probe)
    np.testing.assert_array_equal(lit.positions_px, small_scan.positions_px)
    assert lit.truth is not None
    assert lit.probe is not None
    expected = patterns(lit.truth.pixels.astype(complex), lit.probe.astype(complex), lit.positions_px) + 20
    assert np.sum((lit.counts - expected) ** 2) / np.sum(expected) == pytest.approx(1, abs=0.05)
    assert abs(np.sum(lit.counts - expected)) < 5 * np.sqrt(np.sum(expected))
    assert small_scan.background is None


def test_an_object_too_small_is_refused_with_a_size_that_works(simulation: SimulationSettings) -> None:
    with pytest.raises(ConfigError, match="object_px is 36") as raised:
        simulate_scan(replace(simulation, object_px=36))
    least = re.search(r"at least (\d+)", str(raised.value))
    assert least is not None
    scan = simulate_scan(replace(simulation, object_px=int(least[1])))
    assert len(scan) > 0
