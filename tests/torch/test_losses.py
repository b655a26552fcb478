from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy_physics
import pytest
import torch
from numpy_samples import complex_noise

from ptycho_torch.losses import LOSSES, LossName, poisson_deviance, total_variation

NAMES: list[LossName] = ["poisson", "amplitude_mae", "anscombe"]
REFERENCES: dict[str, Callable[..., float]] = {
    "poisson": numpy_physics.poisson_deviance,
    "amplitude_mae": numpy_physics.amplitude_mae,
    "anscombe": numpy_physics.anscombe,
}


def measured(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Expected and drawn counts of three patterns, some of them zero, and a mask with bad pixels."""
    expected = rng.exponential(5, (3, 12, 12)) + 0.01
    counts = rng.poisson(expected).astype(float)
    good = np.ones((1, 12, 12))
    good[:, 2, 3] = good[:, 7:9, 5] = 0
    assert (counts == 0).any()
    return torch.from_numpy(expected), torch.from_numpy(counts), torch.from_numpy(good)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("real", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_losses_agree_with_their_formulas(
    rng: np.random.Generator, name: LossName, real: torch.dtype, tolerance: float
) -> None:
    expected, counts, good = measured(rng)
    wanted = REFERENCES[name](expected.numpy(), counts.numpy(), good[0].numpy() > 0)
    found = LOSSES[name](expected.to(real), counts.to(real), good.to(real))
    assert found.shape == ()
    assert found.item() == pytest.approx(wanted, rel=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_bad_pixels_carry_no_weight(rng: np.random.Generator, name: LossName) -> None:
    expected, counts, good = measured(rng)
    spoiled = torch.where(good > 0, counts, 1e6)
    torch.testing.assert_close(LOSSES[name](expected, spoiled, good), LOSSES[name](expected, counts, good))


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_fit_costs_nothing_and_any_other_costs_something(rng: np.random.Generator, name: LossName) -> None:
    expected, _, good = measured(rng)
    assert abs(LOSSES[name](expected, expected, good).item()) < 1e-12
    for factor in (0.8, 1.3):
        assert LOSSES[name](factor * expected, expected, good).item() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_does_not_depend_on_the_size_of_the_batch(rng: np.random.Generator, name: LossName) -> None:
    expected, counts, good = measured(rng)
    alone = [LOSSES[name](expected[k : k + 1], counts[k : k + 1], good) for k in range(3)]
    torch.testing.assert_close(torch.stack(alone).mean(), LOSSES[name](expected, counts, good))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_exact_and_finite_where_nothing_is_expected(rng: np.random.Generator, name: LossName) -> None:
    expected, counts, good = measured(rng)
    small = expected[:1, :4, :4].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda lam: LOSSES[name](lam, counts[:1, :4, :4], good[:, :4, :4]), small)
    dark = torch.zeros_like(expected).requires_grad_()
    LOSSES[name](dark, counts, good).backward()
    assert dark.grad is not None
    assert torch.isfinite(dark.grad).all()


@pytest.mark.parametrize("dose", [20.0, 2000.0])
def test_the_deviance_of_pure_noise_is_about_one_at_any_dose(rng: np.random.Generator, dose: float) -> None:
    expected = torch.from_numpy(rng.uniform(0.5, 1.5, (4, 64, 64)) * dose)
    counts = torch.from_numpy(rng.poisson(expected.numpy()).astype(float))
    assert poisson_deviance(expected, counts, torch.ones(1, 64, 64)).item() == pytest.approx(1, abs=0.05)


def test_the_deviance_is_least_at_the_mean_of_the_counts(rng: np.random.Generator) -> None:
    counts = torch.from_numpy(rng.poisson(7.0, (1, 32, 32)).astype(float))
    good = torch.ones(1, 32, 32)
    mean = counts.mean().item()
    at = [poisson_deviance(torch.full_like(counts, mean * factor), counts, good).item() for factor in (0.97, 1, 1.03)]
    assert at[1] < min(at[0], at[2])


def test_total_variation_agrees_with_its_formula(rng: np.random.Generator) -> None:
    images = complex_noise(rng, 3, 9, 7)
    wanted = np.mean([numpy_physics.total_variation(image) for image in images])
    assert total_variation(torch.from_numpy(images)).item() == pytest.approx(wanted, rel=1e-9)


def test_total_variation_sees_neither_overall_phase_nor_flat_images(rng: np.random.Generator) -> None:
    image = torch.from_numpy(complex_noise(rng, 9, 7))
    turned = image * complex(np.exp(1.1j))
    torch.testing.assert_close(total_variation(turned), total_variation(image))
    assert total_variation(torch.full((9, 7), 0.4 + 0.3j)).item() < 1e-5


def test_gradients_of_total_variation_are_exact_and_finite_on_flat_images(rng: np.random.Generator) -> None:
    assert torch.autograd.gradcheck(total_variation, torch.from_numpy(complex_noise(rng, 4, 5)).requires_grad_())
    flat = torch.ones(4, 5, dtype=torch.complex64, requires_grad=True)
    total_variation(flat).backward()
    assert flat.grad is not None
    assert torch.isfinite(torch.view_as_real(flat.grad)).all()
