from __future__ import annotations

import numpy as np
import numpy_physics
import pytest
import torch

from ptycho_torch.evaluate.residual import Residual, residual


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def test_it_is_the_written_out_sum_however_batched(rng: np.random.Generator) -> None:
    expected, counts = rng.exponential(8, (6, 16, 16)), rng.poisson(7, (6, 16, 16)).astype(float)
    pairs = (torch.from_numpy(expected), torch.from_numpy(counts))
    whole = residual([pairs], seeded())
    parts = residual([(pairs[0][:2], pairs[1][:2]), (pairs[0][2:], pairs[1][2:])], seeded())
    assert whole.value == pytest.approx(numpy_physics.residual(expected, counts))
    assert parts.value == pytest.approx(whole.value)


@pytest.mark.parametrize("mean", [30.0, 1000.0])
def test_a_perfect_reconstruction_sits_on_its_floor(rng: np.random.Generator, mean: float) -> None:
    expected = mean * rng.uniform(0.5, 1.5, (8, 32, 32))
    counts = rng.poisson(expected).astype(float)
    found = residual([(torch.from_numpy(expected), torch.from_numpy(counts))], seeded())
    assert found.ratio == pytest.approx(1, abs=0.03)
    # for many photons the variance of √n is ¼
    assert found.floor == pytest.approx(0.5 / mean**0.5, rel=0.05)


def test_a_wrong_reconstruction_lies_above_its_floor(rng: np.random.Generator) -> None:
    expected = rng.uniform(50, 150, (4, 16, 16))
    counts = rng.poisson(expected).astype(float)
    found = residual([(torch.from_numpy(expected[::-1].copy()), torch.from_numpy(counts))], seeded())
    assert found.ratio > 3


def test_zeros_on_bad_pixels_add_nothing(rng: np.random.Generator) -> None:
    expected, counts = rng.exponential(8, (3, 16, 16)), rng.poisson(7, (3, 16, 16)).astype(float)
    padded = [torch.from_numpy(np.pad(values, ((0, 0), (0, 4), (0, 0)))) for values in (expected, counts)]
    assert residual([(padded[0], padded[1])], seeded()).value == pytest.approx(numpy_physics.residual(expected, counts))


def test_the_ratio_compares_value_and_floor() -> None:
    assert Residual(0.3, 0.2).ratio == pytest.approx(1.5)
