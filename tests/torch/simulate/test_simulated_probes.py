from __future__ import annotations

import numpy as np
import pytest

from ptycho_torch.simulate.probes import PROBES, ProbeName, gaussian

NAMES: list[ProbeName] = ["zone_plate", "gaussian"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [32, 64])
def test_a_probe_has_unit_power_around_the_middle(name: ProbeName, side: int) -> None:
    probe = PROBES[name](side, side / 4)
    assert probe.shape == (1, side, side)
    assert probe.dtype == np.complex64
    light = np.abs(probe[0]) ** 2
    assert light.sum() == pytest.approx(1, rel=1e-5)
    offset = np.arange(side) - side // 2
    np.testing.assert_allclose([light.sum(1) @ offset, light.sum(0) @ offset], 0, atol=0.05)


def test_the_gaussian_has_its_diameter_at_half_maximum() -> None:
    line = np.abs(gaussian(64, 12.0)[0, 32]) ** 2
    assert line[32 + 6] == pytest.approx(line[32] / 2, rel=1e-3)
    assert line[32 - 6] == pytest.approx(line[32] / 2, rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_larger_diameter_spreads_the_light(name: ProbeName) -> None:
    offset = np.arange(64) - 32
    squared = offset[:, None] ** 2 + offset**2
    widths = [float(np.sqrt((np.abs(PROBES[name](64, diameter)[0]) ** 2 * squared).sum())) for diameter in (8, 16, 24)]
    assert widths[0] < widths[1] < widths[2]
    assert 4 < widths[1] < 16


@pytest.mark.parametrize("name", NAMES)
def test_a_probe_is_curved(name: ProbeName) -> None:
    probe = PROBES[name](64, 16)[0]
    bright = np.abs(probe) > 0.3 * np.abs(probe).max()
    assert np.ptp(np.unwrap(np.sort(np.angle(probe[bright])))) > 0.3
