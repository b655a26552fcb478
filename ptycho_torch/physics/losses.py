"""Losses between measured and expected counts, and priors on objects.

The likelihoods are means over good detector pixels, so that they do not depend on the size of a batch or a pattern.
Priors that know the light weigh each pixel by it: what a patch is in the dark is nobody's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Complex, Float
from torch import Tensor

LossName = Literal["poisson", "amplitude_mae", "anscombe"]

# below this many expected photons a pixel's gradient is bounded rather than exact
LEAST_COUNTS = 1e-6

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
Prior = Callable[[Tensor, Tensor], Tensor]


def _masked_mean(values: Tensor, good: Tensor) -> Tensor:
    weight = good.expand_as(values)
    return (values * weight).sum() / weight.sum()


def poisson_deviance(
    expected: Float[Tensor, "*batch h w"], counts: Float[Tensor, "*batch h w"], good: Float[Tensor, "*#batch h w"]
) -> Float[Tensor, ""]:
    """Reduced Poisson deviance, mean of 2[λ − n + n·ln(n/λ)]; about 1 when fitted down to the noise, at any dose.

    Where n = 0 the term is 2λ.
    """
    lam = expected.clamp_min(LEAST_COUNTS)
    return _masked_mean(2 * (lam - counts + torch.xlogy(counts, counts) - counts * lam.log()), good)


def amplitude_mae(
    expected: Float[Tensor, "*batch h w"], counts: Float[Tensor, "*batch h w"], good: Float[Tensor, "*#batch h w"]
) -> Float[Tensor, ""]:
    """Mean of |√λ − √n|, in units of √photon."""
    return _masked_mean((expected.clamp_min(LEAST_COUNTS).sqrt() - counts.sqrt()).abs(), good)


def anscombe(
    expected: Float[Tensor, "*batch h w"], counts: Float[Tensor, "*batch h w"], good: Float[Tensor, "*#batch h w"]
) -> Float[Tensor, ""]:
    """Mean squared difference after Anscombe's transform 2√(n + 3/8), which gives Poisson noise a width of nearly 1.

    About 1 when fitted down to the noise, as the deviance is, with a gentler gradient at bright pixels.
    """
    return _masked_mean(4 * ((expected + 0.375).sqrt() - (counts + 0.375).sqrt()).square(), good)


def total_variation(objects: Complex[Tensor, "*batch h w"]) -> Float[Tensor, ""]:
    """Isotropic total variation of complex images: mean over pixels of √(|∂_row O|² + |∂_column O|²)."""
    down = objects[..., 1:, :-1] - objects[..., :-1, :-1]
    across = objects[..., :-1, 1:] - objects[..., :-1, :-1]
    squares = torch.view_as_real(down).square().sum(-1) + torch.view_as_real(across).square().sum(-1)
    return (squares + 1e-12).sqrt().mean()


def amplitude_variation(
    patches: Complex[Tensor, "pattern h w"], light: Float[Tensor, "pattern h w"]
) -> Float[Tensor, ""]:
    """Isotropic total variation of the amplitude, in the light: mean of √((∂_row a)² + (∂_column a)²)."""
    amplitude = patches.abs()
    here = amplitude[:, :-1, :-1]
    return _variation(amplitude[:, 1:, :-1] - here, amplitude[:, :-1, 1:] - here, light)


def phase_variation(patches: Complex[Tensor, "pattern h w"], light: Float[Tensor, "pattern h w"]) -> Float[Tensor, ""]:
    """Isotropic total variation of the phase, in the light; steps of the phase are taken between −π and π."""
    here = patches[:, :-1, :-1].conj()
    return _variation((patches[:, 1:, :-1] * here).angle(), (patches[:, :-1, 1:] * here).angle(), light)


def amplitude_deviation(
    patches: Complex[Tensor, "pattern h w"], light: Float[Tensor, "pattern h w"]
) -> Float[Tensor, ""]:
    """Mean of |a − ⟨a⟩|, in the light; ⟨a⟩ is the mean amplitude of each patch."""
    amplitude = patches.abs()
    return _lit_mean((amplitude - _lit_mean(amplitude, light)[:, None, None]).abs(), light).mean()


def phase_deviation(patches: Complex[Tensor, "pattern h w"], light: Float[Tensor, "pattern h w"]) -> Float[Tensor, ""]:
    """Mean of |φ − ⟨φ⟩|, in the light; ⟨φ⟩ is the phase of each patch's mean, and differences lie between −π and π."""
    return _lit_mean((patches * find_mean_phase(patches, light).conj()).angle().abs(), light).mean()


def amplitude_variance(
    patches: Complex[Tensor, "pattern h w"], light: Float[Tensor, "pattern h w"]
) -> Float[Tensor, ""]:
    """Variance of the amplitude within a patch, in the light; the mean over patches."""
    amplitude = patches.abs()
    return _lit_mean((amplitude - _lit_mean(amplitude, light)[:, None, None]).square(), light).mean()


def object_mae(
    patches: Complex[Tensor, "pattern h w"],
    labels: Complex[Tensor, "pattern h w"],
    light: Float[Tensor, "pattern h w"],
) -> Float[Tensor, ""]:
    """Mean of |O − label|, in the light."""
    return _lit_mean((patches - labels).abs(), light).mean()


def find_mean_phase(
    patches: Complex[Tensor, "pattern h w"], light: Float[Tensor, "pattern h w"]
) -> Complex[Tensor, "pattern 1 1"]:
    """Phase of each patch's mean in the light, as a complex number of modulus 1."""
    mean = (patches * light).sum(dim=(-2, -1), keepdim=True)
    return torch.polar(torch.ones_like(mean.real), mean.angle())


def _lit_mean(values: Tensor, light: Tensor) -> Tensor:
    return (values * light).sum(dim=(-2, -1)) / light.sum(dim=(-2, -1))


def _variation(down: Tensor, across: Tensor, light: Tensor) -> Tensor:
    steps = (down.square() + across.square() + 1e-12).sqrt()
    return _lit_mean(steps, light[:, :-1, :-1]).mean()


AMPLITUDE_PENALTIES: dict[str, Prior] = {
    "total_variation": amplitude_variation,
    "mean_deviation": amplitude_deviation,
}
PHASE_PENALTIES: dict[str, Prior] = {"total_variation": phase_variation, "mean_deviation": phase_deviation}
LOSSES: dict[LossName, Loss] = {
    "poisson": poisson_deviance,
    "amplitude_mae": amplitude_mae,
    "anscombe": anscombe,
}
