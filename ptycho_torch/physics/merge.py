"""Overlapping patches to one object: the illumination-weighted mean."""

from __future__ import annotations

from jaxtyping import Complex, Float, Int
from torch import Tensor

from ptycho_torch.physics.patches import scatter

_LEAST_SHARE = 1e-3


def merge(
    patches: Complex[Tensor, "pattern patch patch"],
    illumination: Float[Tensor, "#pattern patch patch"],
    index: Int[Tensor, " flat"],
    canvas_shape_px: tuple[int, int],
) -> Complex[Tensor, "height width"]:
    """Mean of the patches over each canvas pixel, weighted by their illumination; 1 (vacuum) without any.

    O = (Σ|P|²·O_k + ε) / (Σ|P|² + ε) with ε = 10⁻³ of the brightest probe pixel, so that pixels without illumination
    become vacuum instead of noise. Numerator and denominator have the same weights, and a patch depends on no other
    than those that it overlaps.

    Args:
        patches: complex object patches.
        illumination: probe intensity Σ|P|², the same for all patches or one per patch.
        index: where the patches lie, from `index_patches`.
        canvas_shape_px: height and width of the canvas.
    """
    weighted = scatter(patches * illumination, index, canvas_shape_px)
    total = scatter(illumination.expand(len(patches), -1, -1), index, canvas_shape_px)
    return finish_merge(weighted, total, illumination)


def finish_merge(
    weighted: Complex[Tensor, "height width"],
    total: Float[Tensor, "height width"],
    illumination: Float[Tensor, "*any patch patch"],
) -> Complex[Tensor, "height width"]:
    """The last step of `merge`, for sums accumulated batch by batch."""
    faint = _LEAST_SHARE * illumination.max()
    return (weighted + faint) / (total + faint)
