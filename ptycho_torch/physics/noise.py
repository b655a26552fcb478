"""Photon noise."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Generator, Tensor


def draw_counts(expected: Float[Tensor, "*shape"], generator: Generator) -> Float[Tensor, "*shape"]:
    """Draw integer photon counts from Poisson distributions with the given means."""
    return torch.poisson(expected, generator=generator)
