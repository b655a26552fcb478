"""Losses between measured and expected counts, and priors on objects.

Likelihoods are means over good detector pixels, so that they do not depend on the size of a batch or a pattern.
Priors weight each pixel by its illumination: patterns do not determine the pixels without any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Complex, Float
from torch import Tensor

LossName = Literal["poisson", "amplitude_mae", "anscombe"]

# below so many expected photons the gradient of a pixel is bounded rather than exact
LEAST_COUNTS = 1e-6

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
Prior = Callable[[Tensor, Tensor], Tensor]


def _average_pixels(values: Tensor, good: Tensor) -> Tensor:
    weight = good.expand_as(values)
    return (values * weight).sum() / weight.sum()


def deviate_poisson(expected: Float[Tensor, "*shape"], counts: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Poisson deviance 2[λ − n + n·ln(n/λ)] of each pixel; 2λ where n = 0."""
    lam = expected.clamp_min(LEAST_COUNTS)
    return 2 * (lam - counts + torch.xlogy(counts, counts) - counts * lam.log())


def poisson_deviance(
    expected: Float[Tensor, "*batch h w"], counts: Float[Tensor, "*batch h w"], good: Float[Tensor, "*#batch h w"]
) -> Float[Tensor, ""]:
    """Reduced Poisson deviance, the mean of `deviate_poisson`; about 1 when fitted down to the noise, at any dose."""
    return _average_pixels(deviate_poisson(expected, counts), good)


def amplitude_mae(
    expected: Float[Tensor, "*batch h w"], counts: Float[Tensor, "*batch h w"], good: Float[Tensor, "*#batch h w"]
) -> Float[Tensor, ""]:
    """Mean of |√λ − √n|, in units of √photon."""
    return _average_pixels((expected.clamp_min(LEAST_COUNTS).sqrt() - counts.sqrt()).abs(), good)


def anscombe(
    expected: Float[Tensor, "*batch h w"], counts: Float[Tensor, "*batch h w"], good: Float[Tensor, "*#batch h w"]
) -> Float[Tensor, ""]:
    """Mean squared difference after Anscombe's transform 2√(n + 3/8), which gives Poisson noise a width of nearly 1.

    About 1 when fitted down to the noise, as the deviance is, with a smaller gradient at bright pixels.

    F. J. Anscombe, Biometrika 35, 246 (1948).
    """
    return _average_pixels(4 * ((expected + 0.375).sqrt() - (counts + 0.375).sqrt()).square(), good)


def total_variation(objects: Complex[Tensor, "*batch h w"]) -> Float[Tensor, ""]:
    """Isotropic total variation of complex images: mean over pixels of √(|∂_row O|² + |∂_column O|²)."""
    down = objects[..., 1:, :-1] - objects[..., :-1, :-1]
    across = objects[..., :-1, 1:] - objects[..., :-1, :-1]
    squares = torch.view_as_real(down).square().sum(-1) + torch.view_as_real(across).square().sum(-1)
    return (squares + 1e-12).sqrt().mean()


def amplitude_variation(
    patches: Complex[Tensor, "pattern h w"], illumination: Float[Tensor, "pattern h w"]
) -> Float[Tensor, ""]:
    """Isotropic total variation of the amplitude, weighted by illumination: mean of √((∂_row a)² + (∂_column a)²)."""
    amplitude = patches.abs()
    here = amplitude[:, :-1, :-1]
    return _average_steps(amplitude[:, 1:, :-1] - here, amplitude[:, :-1, 1:] - here, illumination)


def phase_variation(
    patches: Complex[Tensor, "pattern h w"], illumination: Float[Tensor, "pattern h w"]
) -> Float[Tensor, ""]:
    """Isotropic total variation of the phase, weighted by illumination; steps of the phase lie between −π and π."""
    here = patches[:, :-1, :-1].conj()
    return _average_steps((patches[:, 1:, :-1] * here).angle(), (patches[:, :-1, 1:] * here).angle(), illumination)


def amplitude_deviation(
    patches: Complex[Tensor, "pattern h w"], illumination: Float[Tensor, "pattern h w"]
) -> Float[Tensor, ""]:
    """Mean of |a − ⟨a⟩|, weighted by illumination; ⟨a⟩ is the mean amplitude of each patch."""
    return _average(_centre_amplitude(patches, illumination).abs(), illumination)


def phase_deviation(
    patches: Complex[Tensor, "pattern h w"], illumination: Float[Tensor, "pattern h w"]
) -> Float[Tensor, ""]:
    """Mean of |φ − ⟨φ⟩|, weighted by illumination; ⟨φ⟩ is the phase of each patch's mean.

    Differences lie between −π and π.
    """
    deviations = (patches * find_mean_phase(patches, illumination).conj()).angle()
    return _average(deviations.abs(), illumination)


def amplitude_variance(
    patches: Complex[Tensor, "pattern h w"], illumination: Float[Tensor, "pattern h w"]
) -> Float[Tensor, ""]:
    """Variance of the amplitude within a patch, weighted by illumination; the mean over patches."""
    return _average(_centre_amplitude(patches, illumination).square(), illumination)


def object_mae(
    patches: Complex[Tensor, "pattern h w"],
    labels: Complex[Tensor, "pattern h w"],
    illumination: Float[Tensor, "pattern h w"],
) -> Float[Tensor, ""]:
    """Mean of |O − label|, weighted by illumination; the labels are patches of the true object."""
    return _average((patches - labels).abs(), illumination)


def find_mean_phase(
    patches: Complex[Tensor, "pattern h w"], illumination: Float[Tensor, "pattern h w"]
) -> Complex[Tensor, "pattern 1 1"]:
    """Phase of each patch's mean, weighted by illumination, as a complex number of modulus 1."""
    mean = (patches * illumination).sum(dim=(-2, -1), keepdim=True)
    return torch.polar(torch.ones_like(mean.real), mean.angle())


def _average_patches(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum(dim=(-2, -1)) / weights.sum(dim=(-2, -1))


def _average(values: Tensor, weights: Tensor) -> Tensor:
    """Mean over patches of the weighted mean over each patch."""
    return _average_patches(values, weights).mean()


def _centre_amplitude(patches: Tensor, illumination: Tensor) -> Tensor:
    amplitude = patches.abs()
    return amplitude - _average_patches(amplitude, illumination)[:, None, None]


def _average_steps(down: Tensor, across: Tensor, illumination: Tensor) -> Tensor:
    steps = (down.square() + across.square() + 1e-12).sqrt()
    return _average(steps, illumination[:, :-1, :-1])


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
