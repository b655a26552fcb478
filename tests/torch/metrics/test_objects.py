from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from numpy_samples import LOPSIDED, complex_noise

from ptycho_torch.evaluate.objects import (
    amplitude_correlation,
    complex_correlation,
    complex_error,
    match_factor,
    phase_correlation,
    remove_ramp,
)

TRUTH = LOPSIDED.pixels(48, 48)
MASK = np.zeros((48, 48), bool)
MASK[6:40, 8:42] = True


def ramp(rows: float, columns: float) -> NDArray[np.complex128]:
    row, column = np.ogrid[:48, :48]
    result: NDArray[np.complex128] = np.exp(1j * (rows * row + columns * column))
    return result


@pytest.mark.parametrize("factor", [1.0, 0.2j, -3.0 + 1.0j])
def test_an_overall_factor_is_no_error(factor: complex) -> None:
    assert complex_error(factor * TRUTH, TRUTH, MASK) < 1e-12
    assert complex_correlation(factor * TRUTH, TRUTH, MASK) == pytest.approx(1)
    assert phase_correlation(factor * TRUTH, TRUTH, MASK) == pytest.approx(1)


def test_the_error_is_relative_to_the_truth(rng: np.random.Generator) -> None:
    noise = complex_noise(rng, 48, 48)
    noise -= TRUTH * (np.vdot(TRUTH[MASK], noise[MASK]) / np.vdot(TRUTH[MASK], TRUTH[MASK]))
    noise *= 0.1 * np.linalg.norm(TRUTH[MASK]) / np.linalg.norm(noise[MASK])
    # the best factor shrinks the image a little: tan of the angle becomes its sine
    assert complex_error(TRUTH + noise, TRUTH, MASK) == pytest.approx(np.sin(np.arctan(0.1)))
    assert complex_error(complex_noise(rng, 48, 48), TRUTH, MASK) > 0.95


def test_only_the_mask_counts() -> None:
    spoiled = np.where(MASK, TRUTH, 77j)
    assert complex_error(spoiled, TRUTH, MASK) < 1e-12
    assert complex_correlation(spoiled, TRUTH, MASK) == pytest.approx(1)
    assert amplitude_correlation(spoiled, TRUTH, MASK) == pytest.approx(1)
    assert phase_correlation(spoiled, TRUTH, MASK) == pytest.approx(1)


def test_a_phase_ramp_is_an_error_but_no_change_of_correlated_phase() -> None:
    tilted = TRUTH * ramp(0.07, -0.11)
    assert complex_error(tilted, TRUTH, MASK) > 0.2
    assert phase_correlation(tilted, TRUTH, MASK) > 0.999
    levelled = remove_ramp(tilted, TRUTH, MASK)
    assert complex_error(levelled, TRUTH, MASK) < 1e-6


def test_moved_mirrored_and_transposed_objects_fit_worse() -> None:
    wrong = [np.roll(TRUTH, 1, 0), np.roll(TRUTH, -1, 1), TRUTH.T, TRUTH[::-1], TRUTH[:, ::-1], TRUTH.conj()]
    for image in wrong:
        assert complex_error(image, TRUTH, MASK) > 0.05
        assert phase_correlation(image, TRUTH, MASK) < 0.97
        assert complex_correlation(image, TRUTH, MASK) < 0.97


@pytest.mark.parametrize("kind", [np.complex128, np.complex64])
def test_empty_images_correlate_with_nothing(kind: Any) -> None:
    # a level that single precision cannot hold exactly
    flat = np.full(TRUTH.shape, 0.7123 - 0.1j, kind)
    assert amplitude_correlation(flat, TRUTH, MASK) == 0
    assert abs(phase_correlation(flat, TRUTH, MASK)) < 0.1
    assert complex_correlation(flat, TRUTH, MASK) < 1e-6
    assert complex_error(np.zeros_like(TRUTH), TRUTH, MASK) == pytest.approx(1)


def test_amplitude_and_phase_are_judged_apart() -> None:
    only_phase = np.exp(1j * np.angle(TRUTH)) * np.abs(TRUTH.T)
    assert phase_correlation(only_phase, TRUTH, MASK) > 0.95
    assert amplitude_correlation(only_phase, TRUTH, MASK) < 0.5


def test_matched_brings_an_image_onto_the_truth() -> None:
    np.testing.assert_allclose(match_factor(TRUTH * (0.3 - 2j), TRUTH, MASK), TRUTH)


def test_the_ramp_of_a_displaced_object_is_found(rng: np.random.Generator) -> None:
    squares = np.ones((6, 6))
    values = rng.uniform(0.3, 1, (8, 8)) * np.exp(1.5j * rng.uniform(0, 1, (8, 8)))
    truth: NDArray[np.complex128] = np.kron(values, squares)
    along_rows = 0.6 * truth + 0.4 * np.roll(truth, 1, 0)
    moved = 0.6 * along_rows + 0.4 * np.roll(along_rows, 1, 1)
    # its edges have slopes of their own against those of the truth
    levelled = remove_ramp(moved * ramp(0.011, -0.023), truth, MASK)
    assert complex_error(levelled, truth, MASK) <= complex_error(moved, truth, MASK)
