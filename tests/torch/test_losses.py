from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy_physics
import pytest
import torch
from numpy_samples import complex_noise

from ptycho_torch.physics.losses import (
    AMPLITUDE_PENALTIES,
    LOSSES,
    PHASE_PENALTIES,
    LossName,
    Prior,
    amplitude_variance,
    find_mean_phase,
    object_mae,
    poisson_deviance,
    total_variation,
)

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


PRIORS: dict[str, Prior] = {
    **{f"amplitude {name}": prior for name, prior in AMPLITUDE_PENALTIES.items()},
    **{f"phase {name}": prior for name, prior in PHASE_PENALTIES.items()},
    "amplitude variance": amplitude_variance,
}


def lit(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Two patches and the light on them, which leaves the first three rows dark."""
    light = torch.from_numpy(rng.uniform(0.5, 1, (2, 9, 8)))
    light[:, :3] = 0
    return torch.from_numpy(1 + 0.3 * complex_noise(rng, 2, 9, 8)), light


@pytest.mark.parametrize("name", PRIORS)
def test_priors_see_neither_the_dark_nor_an_overall_phase_nor_the_unit_of_light(
    name: str, rng: np.random.Generator
) -> None:
    patches, light = lit(rng)
    found = PRIORS[name](patches, light)
    assert found.item() > 1e-3
    torch.testing.assert_close(PRIORS[name](patches, 7e5 * light), found)
    torch.testing.assert_close(PRIORS[name](patches * complex(np.exp(2.9j)), light), found)
    spoiled = patches.clone()
    spoiled[:, :3] *= 40j
    torch.testing.assert_close(PRIORS[name](spoiled, light), found)
    alone = [PRIORS[name](patches[k : k + 1], light[k : k + 1]) for k in range(2)]
    torch.testing.assert_close(torch.stack(alone).mean(), found)


@pytest.mark.parametrize("name", PRIORS)
def test_priors_leave_flat_patches_alone_and_their_other_half(name: str, rng: np.random.Generator) -> None:
    patches, light = lit(rng)
    flat = torch.full((2, 9, 8), 0.4 + 0.3j, dtype=torch.complex128, requires_grad=True)
    found = PRIORS[name](flat, light)
    assert found.item() < 1e-5
    found.backward()
    assert flat.grad is not None
    assert torch.isfinite(torch.view_as_real(flat.grad)).all()
    other = patches / patches.abs() if name.startswith("amplitude") else patches.abs() + 0j
    assert PRIORS[name](other, light).item() < 1e-5


@pytest.mark.parametrize("name", PRIORS)
def test_gradients_of_priors_are_exact(name: str, rng: np.random.Generator) -> None:
    patches, light = lit(rng)
    assert torch.autograd.gradcheck(lambda given: PRIORS[name](given, light), patches.requires_grad_())


def test_labels_are_compared_in_the_light(rng: np.random.Generator) -> None:
    (patches, light), (labels, _) = lit(rng), lit(rng)
    shares = (light / light.sum(dim=(1, 2), keepdim=True)).numpy()
    wanted = np.mean((np.abs(patches.numpy() - labels.numpy()) * shares).sum(axis=(1, 2)))
    assert object_mae(patches, labels, light).item() == pytest.approx(wanted, rel=1e-12)
    assert object_mae(patches, patches, light).item() == 0


def test_the_mean_phase_is_that_of_the_lit_mean(rng: np.random.Generator) -> None:
    patches, light = lit(rng)
    turns = torch.tensor([2.9, -1.4], dtype=torch.float64)[:, None, None]
    turned = find_mean_phase(patches * torch.polar(torch.ones_like(turns), turns), light)
    torch.testing.assert_close(turned, find_mean_phase(patches, light) * torch.polar(torch.ones_like(turns), turns))
    assert (find_mean_phase(patches, light).angle().abs() < 0.2).all()
