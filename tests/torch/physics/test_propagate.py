from __future__ import annotations

import numpy as np
import numpy_physics
import pytest
import torch
from numpy_samples import complex_noise

from ptycho_torch.physics.propagate import propagate, propagate_back


@pytest.mark.parametrize("shape", [(16, 16), (15, 15), (12, 9)])
@pytest.mark.parametrize(("kind", "tolerance"), [(torch.complex128, 1e-12), (torch.complex64, 1e-5)])
def test_the_far_field_is_the_centred_unitary_transform(
    rng: np.random.Generator, shape: tuple[int, int], kind: torch.dtype, tolerance: float
) -> None:
    waves = complex_noise(rng, 3, *shape)
    found = propagate(torch.from_numpy(waves).to(kind))
    wanted = np.array([numpy_physics.far_field(wave) for wave in waves])
    np.testing.assert_allclose(found.numpy(), wanted, atol=tolerance)


@pytest.mark.parametrize("side", [15, 16])
def test_there_and_back_is_the_identity_and_keeps_photons(rng: np.random.Generator, side: int) -> None:
    wave = torch.from_numpy(complex_noise(rng, 2, side, side))
    torch.testing.assert_close(propagate_back(propagate(wave)), wave)
    torch.testing.assert_close(propagate(wave).abs().square().sum(), wave.abs().square().sum())


@pytest.mark.parametrize("side", [15, 16])
def test_near_field_is_the_adjoint(rng: np.random.Generator, side: int) -> None:
    first, second = (torch.from_numpy(complex_noise(rng, side, side)) for _ in range(2))
    there = torch.vdot(propagate(first).flatten(), second.flatten())
    torch.testing.assert_close(there, torch.vdot(first.flatten(), propagate_back(second).flatten()))


@pytest.mark.parametrize("side", [15, 16])
def test_tilting_a_plane_wave_moves_its_spot_from_the_middle(side: int) -> None:
    tilt = torch.exp(2j * torch.pi * torch.arange(side) / side)
    flat = propagate(torch.ones(side, side) + 0j).abs()
    tilted = propagate(tilt[:, None] * torch.ones(side) + 0j).abs()
    assert divmod(int(flat.argmax()), side) == (side // 2, side // 2)
    assert divmod(int(tilted.argmax()), side) == (side // 2 + 1, side // 2)
