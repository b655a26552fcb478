"""The eight orientations of a square: patterns, probes, patches and positions are turned together.

If probe and object are turned, the pattern is turned in the same way, |F(TP · TO)|² = T |F(P · O)|², and the misfit
stays as it is. Reversed axes keep pixel [N//2, N//2] in place, which is position and zero frequency; the transform of N
values is periodic, so that index 0 stays as well.

An orientation is a number from 0 to 7: 4 exchanges rows and columns, then 1 reverses the rows, 2 the columns.
"""

from __future__ import annotations

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

REVERSED_ROWS, REVERSED_COLUMNS, EXCHANGED = 1, 2, 4


def orient(images: Shaped[Tensor, "*batch h w"], orientation: Int[Tensor, "*#batch"]) -> Shaped[Tensor, "*batch h w"]:
    """Turn images, each by its own orientation."""
    images = torch.where(_has(orientation, EXCHANGED), images.transpose(-2, -1), images)
    images = torch.where(_has(orientation, REVERSED_ROWS), _reverse(images, -2), images)
    return torch.where(_has(orientation, REVERSED_COLUMNS), _reverse(images, -1), images)


def orient_places(
    places_px: Shaped[Tensor, "*batch 2"], orientation: Int[Tensor, "*#batch"]
) -> Shaped[Tensor, "*batch 2"]:
    """Turn (row, column) about (0, 0), as `orient` turns images about their middle."""
    chosen = orientation[..., None]
    places_px = torch.where((chosen & EXCHANGED) > 0, places_px.flip(-1), places_px)
    signs = torch.stack([1 - 2 * (orientation & 1), 1 - (orientation & 2)], dim=-1)
    return places_px * signs


def _has(orientation: Tensor, part: int) -> Tensor:
    return (orientation & part)[..., None, None] > 0


def _reverse(images: Tensor, axis: int) -> Tensor:
    return images.flip(axis).roll(1, axis)
