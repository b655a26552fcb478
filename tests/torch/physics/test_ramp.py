from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy_samples import complex_noise

from ptycho_torch.physics.ramp import make_phase_ramp, measure_phase_slopes, remove_phase_ramp

SLOPES = (0.3, -1.1)


def written_out(height: int, width: int) -> torch.Tensor:
    rows, columns = np.mgrid[:height, :width]
    return torch.from_numpy(np.exp(1j * (SLOPES[0] * rows + SLOPES[1] * columns)))


def test_a_ramp_has_its_slopes_and_one_at_the_first_pixel() -> None:
    torch.testing.assert_close(make_phase_ramp((9, 14), SLOPES, dtype=torch.complex128), written_out(9, 14))


def test_far_from_the_first_pixel_a_ramp_in_single_precision_is_still_exact() -> None:
    found = make_phase_ramp((2, 20000), SLOPES)
    assert found.dtype == torch.complex64
    assert (found - written_out(2, 20000)).abs().max() < 1e-6


@pytest.mark.parametrize("shape", [(12, 15), (3, 12, 15)])
def test_slopes_are_measured_and_removed(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    weights = torch.from_numpy(np.abs(complex_noise(rng, *shape)))
    image = weights * written_out(12, 15)
    assert measure_phase_slopes(image) == pytest.approx(SLOPES)
    torch.testing.assert_close(remove_phase_ramp(image, measure_phase_slopes(image)), weights + 0j)
