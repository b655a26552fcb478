from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy_physics import shifted
from numpy_samples import compact_probe, complex_noise

from ptycho_torch.errors import DataError
from ptycho_torch.physics.forward import expect_counts
from ptycho_torch.physics.probe import (
    check_probe,
    orthogonalise,
    shift_pairs,
    shift_probe,
    unshift_sum,
)
from ptycho_torch.physics.propagate import sum_intensities

SHIFTS = np.array([[0.0, 0.0], [0.5, -0.5], [0.31, 0.12], [-0.27, 0.44], [2.0, -3.0]])


@pytest.mark.parametrize("side", [15, 16])
@pytest.mark.parametrize(("real", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_shift_is_trigonometric_interpolation(
    rng: np.random.Generator, side: int, real: torch.dtype, tolerance: float
) -> None:
    probe = complex_noise(rng, 2, side, side)
    wanted = np.array([[shifted(mode, shift) for mode in probe] for shift in SHIFTS])
    found = shift_probe(torch.from_numpy(probe).to(real.to_complex()), torch.from_numpy(SHIFTS).to(real))
    assert found.dtype == real.to_complex()
    np.testing.assert_allclose(found.numpy(), wanted, atol=tolerance)


def test_whole_shifts_move_towards_higher_indices(rng: np.random.Generator) -> None:
    probe = complex_noise(rng, 1, 16, 16)
    moved = shift_probe(torch.from_numpy(probe), torch.tensor([[2.0, -3.0]], dtype=torch.float64))
    np.testing.assert_allclose(moved[0].numpy(), np.roll(probe, (2, -3), (1, 2)), atol=1e-12)


def test_a_fraction_of_a_pixel_moves_the_centre_by_it() -> None:
    probe = torch.from_numpy(compact_probe(24))
    shift = torch.tensor([[0.3, -0.45]], dtype=torch.float64)
    light = sum_intensities(shift_probe(probe, shift))[0].numpy() - sum_intensities(probe).numpy()
    line = np.arange(24)
    moved = np.array([(light.sum(1) * line).sum(), (light.sum(0) * line).sum()])
    np.testing.assert_allclose(moved / sum_intensities(probe).sum().item(), [0.3, -0.45], atol=1e-6)


def test_a_real_image_stays_real(rng: np.random.Generator) -> None:
    image = torch.from_numpy(rng.normal(size=(1, 16, 16)) + 0j)
    assert shift_probe(image, torch.from_numpy(SHIFTS)).imag.abs().max() < 1e-12


def test_pairs_shift_each_probe_by_its_own_shift(rng: np.random.Generator) -> None:
    probes = complex_noise(rng, len(SHIFTS), 2, 16, 16)
    found = shift_pairs(torch.from_numpy(probes), torch.from_numpy(SHIFTS))
    wanted = [[shifted(mode, shift) for mode in probe] for probe, shift in zip(probes, SHIFTS, strict=True)]
    np.testing.assert_allclose(found.numpy(), np.array(wanted), atol=1e-12)


@pytest.mark.parametrize("side", [15, 16])
def test_unshift_sum_is_the_adjoint_of_the_shift(rng: np.random.Generator, side: int) -> None:
    probe = torch.from_numpy(complex_noise(rng, 2, side, side))
    waves = torch.from_numpy(complex_noise(rng, len(SHIFTS), 2, side, side))
    shifts = torch.from_numpy(SHIFTS)
    there = torch.vdot(shift_probe(probe, shifts).flatten(), waves.flatten())
    back = torch.vdot(probe.flatten(), unshift_sum(waves, shifts).flatten())
    torch.testing.assert_close(there, back)


def test_gradients_reach_the_probe(rng: np.random.Generator) -> None:
    probe = torch.from_numpy(complex_noise(rng, 2, 6, 6)).requires_grad_()
    shifts = torch.from_numpy(SHIFTS[:3])
    assert torch.autograd.gradcheck(lambda given: shift_probe(given, shifts), probe)


def test_gradients_reach_the_positions(rng: np.random.Generator) -> None:
    probe = torch.from_numpy(complex_noise(rng, 1, 6, 6))
    shifts = torch.from_numpy(SHIFTS[1:4].copy()).requires_grad_()
    assert torch.autograd.gradcheck(lambda given: shift_probe(probe, given), shifts)


@pytest.mark.parametrize(
    "probe",
    [torch.ones(16, 16) + 0j, torch.ones(1, 16, 16), torch.ones(1, 16, 15) + 0j, torch.ones(2, 1, 16, 16) + 0j],
    ids=["flat", "real", "oblong", "too many axes"],
)
def test_a_probe_of_another_layout_is_refused(probe: torch.Tensor) -> None:
    with pytest.raises(DataError, match=r"complex .*\(mode, 16, 16\)") as raised:
        check_probe(probe, 16)
    assert str(tuple(probe.shape)) in str(raised.value)


def test_a_probe_with_modes_is_accepted() -> None:
    check_probe(torch.ones(3, 16, 16) + 0j, 16)


def test_intensity_adds_modes(rng: np.random.Generator) -> None:
    probes = complex_noise(rng, 4, 3, 8, 8)
    found = sum_intensities(torch.from_numpy(probes))
    np.testing.assert_allclose(found.numpy(), np.einsum("bmhw,bmhw->bhw", probes, probes.conj()).real)


def test_orthogonal_modes_light_every_object_alike(rng: np.random.Generator) -> None:
    probe = torch.from_numpy(complex_noise(rng, 3, 16, 16) * np.array([0.2, 1.0, 0.6])[:, None, None])
    patches = torch.from_numpy(complex_noise(rng, 2, 16, 16))
    found = orthogonalise(probe)
    before, after = (expect_counts(patches, modes[None].expand(2, -1, -1, -1)) for modes in (probe, found))
    torch.testing.assert_close(after, before)
    flat = found.reshape(3, -1)
    overlap = (flat @ flat.mH).abs()
    power = overlap.diagonal()
    assert (overlap - power.diag()).max() < 1e-10 * power.max()
    assert power.tolist() == sorted(power.tolist(), reverse=True)


@pytest.mark.parametrize("modes", [1, 3])
def test_orthogonal_modes_are_left_as_they_are(rng: np.random.Generator, modes: int) -> None:
    once = orthogonalise(torch.from_numpy(complex_noise(rng, modes, 16, 16)))
    torch.testing.assert_close(orthogonalise(once), once)
