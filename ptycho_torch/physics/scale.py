"""Scale factors between photons, probes and network inputs."""

from __future__ import annotations

import torch
from jaxtyping import Complex, Float
from torch import Tensor


def calibrate_probe(probe: Complex[Tensor, "mode h w"], photons_per_pattern: float) -> Complex[Tensor, "mode h w"]:
    """Scale a probe to the measured photons: α = √(⟨Σn⟩ / Σ|P|²), so that |O| ≈ 1 in vacuum."""
    power = torch.view_as_real(probe).square().sum()
    return probe * (photons_per_pattern / power).sqrt()


def make_network_input(
    counts: Float[Tensor, "*batch h w"], photons_per_pattern: Float[Tensor, "*#batch 1 1"] | float
) -> Float[Tensor, "*batch h w"]:
    """Normalised amplitude u = √n · N / √⟨Σn⟩, whose mean square over a pattern is about 1 at any dose and size."""
    side = (counts.shape[-1] * counts.shape[-2]) ** 0.5
    return counts.sqrt() * (side / photons_per_pattern**0.5)
