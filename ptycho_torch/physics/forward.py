"""Object patches and probe to expected photon counts."""

from __future__ import annotations

from jaxtyping import Complex, Float
from torch import Tensor

from ptycho_torch.physics.propagate import far_field


def detector_waves(
    patches: Complex[Tensor, "pattern h w"], probes: Complex[Tensor, "pattern mode h w"]
) -> Complex[Tensor, "pattern mode h w"]:
    """Waves at the detector of object patches lit by probes that are shifted to each position already."""
    return far_field(patches.unsqueeze(-3) * probes)


def counts_of(waves: Complex[Tensor, "pattern mode h w"]) -> Float[Tensor, "pattern h w"]:
    """Photons of detector waves; modes do not interfere, so their intensities add."""
    return (waves.real.square() + waves.imag.square()).sum(-3)


def expected_counts(
    patches: Complex[Tensor, "pattern h w"], probes: Complex[Tensor, "pattern mode h w"]
) -> Float[Tensor, "pattern h w"]:
    """Photons expected per detector pixel: λ = Σ_m |F(P_m · O)|²."""
    return counts_of(detector_waves(patches, probes))
