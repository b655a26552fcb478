from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy_samples import complex_noise

from ptycho_torch.physics.scale import calibrate_probe, make_network_input


@pytest.mark.parametrize("photons", [10.0, 1e6])
def test_a_calibrated_probe_carries_the_photons_of_a_pattern(rng: np.random.Generator, photons: float) -> None:
    probe = torch.from_numpy(complex_noise(rng, 2, 16, 16))
    found = calibrate_probe(probe, photons)
    assert found.abs().square().sum().item() == pytest.approx(photons)
    torch.testing.assert_close(found / found[0, 0, 0], probe / probe[0, 0, 0])
    assert (found / probe).imag.abs().max() < 1e-12


def test_calibrating_twice_is_calibrating_once(rng: np.random.Generator) -> None:
    once = calibrate_probe(torch.from_numpy(complex_noise(rng, 2, 16, 16)), 500.0)
    torch.testing.assert_close(calibrate_probe(once, 500.0), once)


@pytest.mark.parametrize("side", [16, 32])
@pytest.mark.parametrize("photons", [100.0, 1e7])
def test_the_network_sees_amplitudes_of_order_one_at_any_dose_and_size(
    rng: np.random.Generator, side: int, photons: float
) -> None:
    counts = torch.from_numpy(rng.exponential(size=(3, side, side)))
    counts *= photons / counts.sum(dim=(1, 2), keepdim=True)
    found = make_network_input(counts, photons)
    torch.testing.assert_close(found.square().mean(dim=(1, 2)), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(found / found[0, 0, 0], (counts / counts[0, 0, 0]).sqrt())


def test_each_pattern_may_have_its_own_dose(rng: np.random.Generator) -> None:
    counts = torch.from_numpy(rng.exponential(size=(2, 3, 16, 16)))
    doses = torch.tensor([1.0, 100.0], dtype=torch.float64)[:, None, None, None]
    found = make_network_input(counts, doses)
    for number, dose in enumerate((1.0, 100.0)):
        torch.testing.assert_close(found[number], make_network_input(counts[number], dose))
