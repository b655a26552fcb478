"""Object patches and probe to expected photon counts."""

from __future__ import annotations

from jaxtyping import Complex, Float
from torch import Tensor

from ptycho_torch.physics.background import add_background
from ptycho_torch.physics.propagate import far_field, intensity, wrapped_far_field


def detector_waves(
    patches: Complex[Tensor, "pattern h w"], probes: Complex[Tensor, "pattern mode h w"], *, wrapped: bool = False
) -> Complex[Tensor, "pattern mode h w"]:
    """Waves at the detector of object patches lit by probes that are shifted to each position already.

    Args:
        patches: object patches.
        probes: probe of each patch.
        wrapped: both are in wrapped order, and so are the waves.
    """
    return (wrapped_far_field if wrapped else far_field)(patches.unsqueeze(-3) * probes)


def expected_counts(
    patches: Complex[Tensor, "pattern h w"],
    probes: Complex[Tensor, "pattern mode h w"],
    background: Float[Tensor, "h w"] | None = None,
) -> Float[Tensor, "pattern h w"]:
    """Photons expected per detector pixel: λ = Σ_m |F(P_m · O)|² + background."""
    return add_background(intensity(detector_waves(patches, probes)), background)
