"""Patches of an object canvas at integer positions: gather and its adjoint, scatter-add.

A corner is the canvas pixel (row, column) under pixel [0, 0] of a patch. `torch.gather` and `scatter_add` on complex
tensors are each other's derivative and, on a CPU, several times faster than complex indexing or `index_add` on a real
view.
"""

from __future__ import annotations

import torch
from jaxtyping import Int, Num
from torch import Tensor


def index_patches(
    corners_px: Int[Tensor, "pattern 2"], patch_px: int, canvas_width_px: int, *, wrapped: bool = False
) -> Int[Tensor, " flat"]:
    """Flat canvas indices of every pixel of every patch, patch by patch and row by row.

    Args:
        corners_px: canvas pixel (row, column) under pixel [0, 0] of each patch.
        patch_px: side of the square patches.
        canvas_width_px: length of a canvas row.
        wrapped: put pixel [patch_px // 2, patch_px // 2] first, the order of `fft2`, so that a solver need not exchange
            quadrants.
    """
    span = torch.arange(patch_px, device=corners_px.device)
    if wrapped:
        span = torch.fft.ifftshift(span)
    rows = (corners_px[:, :1] + span) * canvas_width_px
    columns = corners_px[:, 1:] + span
    return (rows[:, :, None] + columns[:, None, :]).reshape(-1)


def gather(
    canvas: Num[Tensor, "height width"], index: Int[Tensor, " flat"], patch_px: int
) -> Num[Tensor, "pattern {patch_px} {patch_px}"]:
    """Cut the patches of an `index` (from `index_patches`) out of a canvas, real or complex."""
    return torch.gather(canvas.reshape(-1), 0, index).reshape(-1, patch_px, patch_px)


def scatter(
    patches: Num[Tensor, "pattern patch patch"], index: Int[Tensor, " flat"], canvas_shape_px: tuple[int, int]
) -> Num[Tensor, "height width"]:
    """Add patches onto a canvas of zeros, overlaps included: the adjoint of `gather`."""
    height, width = canvas_shape_px
    canvas = torch.zeros(height * width, dtype=patches.dtype, device=patches.device)
    return canvas.scatter_add(0, index, patches.reshape(-1)).reshape(height, width)
