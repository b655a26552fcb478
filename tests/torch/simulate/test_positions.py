from __future__ import annotations

import numpy as np
import pytest
from numpy_refine import neighbours

from ptycho_torch.simulate.positions import PATHS, PathName

NAMES: list[PathName] = ["raster", "spiral"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("extent", "step"), [(20.0, 4.0), (15.0, 2.5), (9.0, 8.0)])
def test_positions_stay_within_their_extent(name: PathName, extent: float, step: float) -> None:
    positions = PATHS[name](extent, step, np.random.default_rng(2))
    assert positions.shape == (len(positions), 2)
    assert len(positions) > 0
    assert np.abs(positions).max() <= extent


@pytest.mark.parametrize("name", NAMES)
def test_neighbours_are_about_a_step_apart(name: PathName) -> None:
    positions = PATHS[name](24.0, 4.0, np.random.default_rng(2))
    nearest = []
    for number, pair in enumerate(neighbours(positions, 2)):
        (other,) = pair - {number}
        nearest.append(float(np.hypot(*(positions[other] - positions[number]))))
    assert 2.0 < np.median(nearest) < 5.0
    area = (2 * 24.0) ** 2 if name == "raster" else np.pi * 24.0**2
    assert len(positions) == pytest.approx(area / 16, rel=0.25)


@pytest.mark.parametrize("name", NAMES)
def test_both_axes_are_covered_alike_at_places_between_the_pixels(name: PathName) -> None:
    positions = PATHS[name](24.0, 4.0, np.random.default_rng(2))
    np.testing.assert_allclose(positions.mean(0), 0, atol=1.5)
    assert np.ptp(positions[:, 0]) == pytest.approx(np.ptp(positions[:, 1]), rel=0.15)
    assert np.abs(positions - np.round(positions)).std() > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_decides_the_path(name: PathName) -> None:
    first, again, other = (PATHS[name](20.0, 4.0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.05
