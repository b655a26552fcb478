from __future__ import annotations

import numpy as np
import pytest

from ptycho_torch.simulate.objects import AMPLITUDE_LOSS, OBJECTS, PHASE_RANGE_RAD, ObjectName, make_transmission

NAMES: list[ObjectName] = ["siemens", "lines", "dead_leaves"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(48, 48), (40, 56)])
def test_thickness_lies_between_vacuum_and_solid(name: ObjectName, shape: tuple[int, int]) -> None:
    thickness = OBJECTS[name](shape, np.random.default_rng(1))
    assert thickness.shape == shape
    assert thickness.min() >= 0
    assert thickness.max() <= 1
    assert thickness.std() > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_decides_the_object(name: ObjectName) -> None:
    first, again, other = (OBJECTS[name]((48, 48), np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.2


@pytest.mark.parametrize("name", NAMES)
def test_no_object_looks_like_its_mirror_image(name: ObjectName) -> None:
    thickness = OBJECTS[name]((64, 64), np.random.default_rng(1))
    for turned in (thickness[::-1], thickness[:, ::-1], thickness.T, np.rot90(thickness, 2)):
        assert np.corrcoef(thickness.ravel(), turned.ravel())[0, 1] < 0.9


def test_thickness_costs_amplitude_and_adds_phase() -> None:
    found = make_transmission(np.array([[0.0, 0.5, 1.0]]))
    assert found.dtype == np.complex64
    np.testing.assert_allclose(np.abs(found), [[1, 1 - AMPLITUDE_LOSS / 2, 1 - AMPLITUDE_LOSS]], rtol=1e-6)
    np.testing.assert_allclose(np.angle(found), [[0, PHASE_RANGE_RAD / 2, PHASE_RANGE_RAD]], rtol=1e-6)
