"""Overlapping patches to one object: the illumination-weighted mean."""

from __future__ import annotations

from jaxtyping import Complex, Float, Int
from torch import Tensor

from ptycho_torch.physics.patches import scatter

_FAINT = 1e-3


def merge(
    patches: Complex[Tensor, "pattern patch patch"],
    light: Float[Tensor, "#pattern patch patch"],
    index: Int[Tensor, " flat"],
    canvas_shape_px: tuple[int, int],
) -> Complex[Tensor, "height width"]:
    """Mean of the patches over each canvas pixel, weighted by the light that each had there; 1 where it was dark.

    O = (Σ|P|²·O_k + ε) / (Σ|P|² + ε) with ε = 10⁻³ of the brightest probe pixel, so that dark pixels fade to empty
    space instead of to noise. Numerator and denominator see exactly the same weights, and no pattern's result depends
    on patterns that do not overlap it.

    Args:
        patches: complex object patches.
        light: probe intensity Σ|P|², one for all patches or one for each.
        index: where the patches lie, from `index_patches`.
        canvas_shape_px: height and width of the canvas.
    """
    weighted = scatter(patches * light, index, canvas_shape_px)
    total = scatter(light.expand(len(patches), -1, -1), index, canvas_shape_px)
    return finish_merge(weighted, total, light)


def finish_merge(
    weighted: Complex[Tensor, "height width"],
    total: Float[Tensor, "height width"],
    light: Float[Tensor, "*any patch patch"],
) -> Complex[Tensor, "height width"]:
    """The last step of `merge`, for sums that were collected batch by batch."""
    faint = _FAINT * light.max()
    return (weighted + faint) / (total + faint)
