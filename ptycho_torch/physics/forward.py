"""Object patches and probe to expected photon counts."""

from __future__ import annotations

from jaxtyping import Complex, Float
from torch import Tensor

from ptycho_torch.physics.background import add_background
from ptycho_torch.physics.propagate import propagate, propagate_wrapped, sum_intensities


def propagate_patches(
    patches: Complex[Tensor, "#pattern h w"], probes: Complex[Tensor, "#pattern mode h w"], *, wrapped: bool = False
) -> Complex[Tensor, "pattern mode h w"]:
    """Far field of object patches under probes that are already shifted to each position.

    Args:
        patches: object patches.
        probes: probe at each position, or one for all.
        wrapped: patches, probes and waves are in wrapped order.
    """
    return (propagate_wrapped if wrapped else propagate)(patches.unsqueeze(-3) * probes)


def compute_counts(
    waves: Complex[Tensor, "pattern mode h w"], background: Float[Tensor, "*#batch h w"] | None = None
) -> Float[Tensor, "pattern h w"]:
    """Photons expected per detector pixel from waves at the detector: λ = Σ_m |ψ_m|² + background."""
    return add_background(sum_intensities(waves), background)


def expect_counts(
    patches: Complex[Tensor, "pattern h w"],
    probes: Complex[Tensor, "pattern mode h w"],
    background: Float[Tensor, "*#batch h w"] | None = None,
) -> Float[Tensor, "pattern h w"]:
    """Photons expected per detector pixel: λ = Σ_m |F(P_m · O)|² + background."""
    return compute_counts(propagate_patches(patches, probes), background)
