"""A solver's step by one pattern alone: what the pattern says about its patch, as an image of the patch."""

from __future__ import annotations

from jaxtyping import Complex, Float
from torch import Tensor

from ptycho_torch.physics.forward import propagate_patches
from ptycho_torch.physics.propagate import propagate_back, sum_intensities

# share of the brightest pixel that is added to the illumination, as in the solver's damped steps
_DAMPING = 0.05
# share of a pattern's mean intensity that is added to the expected one, which vanishes in places
_FLOOR = 0.01
# a measured amplitude counts as at most so many times the expected one
_MOST = 4.0


def update_patches(
    patches: Complex[Tensor, "#pattern h w"],
    amplitude: Float[Tensor, "pattern h w"],
    probes: Complex[Tensor, "#pattern mode h w"],
    good: Float[Tensor, "#pattern h w"] | None = None,
) -> Complex[Tensor, "pattern h w"]:
    """Least-squares update of each patch by its own pattern.

    With Ψ_m = F(P_m·O) and λ = Σ_m |Ψ_m|² it is ΔO = Σ_m P_m*·F⁻¹[Ψ_m(√n/√λ − 1)] / (Σ_m |P_m|² + ε). From vacuum and
    for a weak object it is about half of O − 1 and half of its twin, which the probe blurs.

    Args:
        patches: the object so far.
        amplitude: patterns, normalised by `scale.make_network_input`.
        probes: one probe, or one for each pattern, in any unit.
        good: 1 on good detector pixels, 0 on bad ones, which change nothing; None if all are good.
    """
    illumination = sum_intensities(probes)
    waves = propagate_patches(patches, probes)
    # the probe's power in the unit of the patterns, whose mean square is 1
    expected = sum_intensities(waves) / illumination.mean(dim=(-2, -1), keepdim=True)
    excess = (amplitude / (expected + _FLOOR).sqrt()).clamp_max(_MOST) - 1
    if good is not None:
        excess = excess * good
    change = propagate_back(waves * excess[:, None])
    damping = _DAMPING * illumination.amax(dim=(-2, -1), keepdim=True)
    return (probes.conj() * change).sum(-3) / (illumination + damping)
