"""Photons that reach the detector without having passed the sample."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def add_background(
    expected: Float[Tensor, "*batch h w"], background: Float[Tensor, "*#batch h w"] | None
) -> Float[Tensor, "*batch h w"]:
    """Expected counts with the mean background of each pattern, which does not interfere with the waves."""
    return expected if background is None else expected + background


def subtract_background(
    counts: Float[Tensor, "*batch h w"], background: Float[Tensor, "*#batch h w"] | None
) -> Float[Tensor, "*batch h w"]:
    """Measured counts without the mean background, at least 0: what a network sees, not what a loss compares."""
    return counts if background is None else (counts - background).clamp_min(0)
