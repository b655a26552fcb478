from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from numpy_samples import complex_noise

from ptycho_torch.evaluate.frc import ring_correlation

SIDE = 64


def textured(rng: np.random.Generator) -> NDArray[np.complex128]:
    """Structure up to a quarter of the sampling frequency on a periodic image."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE))
    image: NDArray[np.complex128] = np.fft.ifft2(np.fft.fft2(complex_noise(rng, SIDE, SIDE)) * (frequency < 0.25))
    return 1 + 0.3 * image


def test_identical_images_correlate_up_to_nyquist(rng: np.random.Generator) -> None:
    image = complex_noise(rng, SIDE, SIDE)
    found = ring_correlation(image, image)
    np.testing.assert_allclose(found.correlation, 1, atol=1e-6)
    assert found.crossing == 1
    assert found.frequency[0] == 0
    assert found.frequency[-1] == pytest.approx(1)


def test_independent_noise_falls_below_the_threshold_at_once(rng: np.random.Generator) -> None:
    found = ring_correlation(complex_noise(rng, SIDE, SIDE), complex_noise(rng, SIDE, SIDE))
    assert found.crossing < 0.2
    assert np.mean(found.correlation[8:] < found.threshold[8:]) > 0.8


def test_the_crossing_finds_the_band_that_two_images_share(rng: np.random.Generator) -> None:
    image = textured(rng)
    noisy = [image + 0.05 * complex_noise(rng, SIDE, SIDE) for _ in range(2)]
    assert ring_correlation(noisy[0], noisy[1]).crossing == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("shift", [(0, 0), (3, -2)])
@pytest.mark.parametrize("slopes", [(0.0, 0.0), (0.02, -0.03), (0.2, 0.1)])
def test_shift_ramp_and_factor_between_the_images_do_not_matter(
    rng: np.random.Generator, shift: tuple[int, int], slopes: tuple[float, float]
) -> None:
    image = textured(rng)
    rows, columns = np.ogrid[:SIDE, :SIDE]
    copy = np.roll(image, shift, (0, 1)) * np.exp(1j * (slopes[0] * rows + slopes[1] * columns)) * (0.5 - 2j)
    found = ring_correlation(image, copy)
    # the lowest rings see the copy's edges, which come from its other side
    inside = (found.frequency > 2.5 * 2 / SIDE) & (found.frequency < 0.45)
    assert found.correlation[inside].min() > 0.95
    assert found.crossing > 0.45


def test_the_threshold_is_the_half_bit_curve(rng: np.random.Generator) -> None:
    found = ring_correlation(complex_noise(rng, SIDE, SIDE), complex_noise(rng, SIDE, SIDE))
    assert found.threshold[0] == pytest.approx(1)
    assert (np.diff(found.threshold[1:-1]) < 0.1).all()
    # so many pixels lie on a ring far out that the curve has nearly come down to its limit
    assert 0.2071 / 1.2071 < found.threshold[-2] < 0.35
