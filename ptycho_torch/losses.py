"""Losses between measured and expected counts, and a prior on objects.

The likelihoods are means over good detector pixels, so that they do not depend on the size of a batch or a pattern.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Complex, Float
from torch import Tensor

LossName = Literal["poisson", "amplitude_mae", "anscombe"]

# below this many expected photons a pixel's gradient is bounded rather than exact
_LEAST_COUNTS = 1e-6

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def _masked_mean(values: Tensor, good: Tensor) -> Tensor:
    weight = good.expand_as(values)
    return (values * weight).sum() / weight.sum()


def poisson_deviance(
    expected: Float[Tensor, "*batch h w"], counts: Float[Tensor, "*batch h w"], good: Float[Tensor, "*#batch h w"]
) -> Float[Tensor, ""]:
    """Reduced Poisson deviance, mean of 2[λ − n + n·ln(n/λ)]; about 1 when fitted down to the noise, at any dose.

    Where n = 0 the term is 2λ.
    """
    lam = expected.clamp_min(_LEAST_COUNTS)
    return _masked_mean(2 * (lam - counts + torch.xlogy(counts, counts) - counts * lam.log()), good)


def amplitude_mae(
    expected: Float[Tensor, "*batch h w"], counts: Float[Tensor, "*batch h w"], good: Float[Tensor, "*#batch h w"]
) -> Float[Tensor, ""]:
    """Mean of |√λ − √n|, in units of √photon."""
    return _masked_mean((expected.clamp_min(_LEAST_COUNTS).sqrt() - counts.sqrt()).abs(), good)


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


LOSSES: dict[LossName, Loss] = {
    "poisson": poisson_deviance,
    "amplitude_mae": amplitude_mae,
    "anscombe": anscombe,
}
