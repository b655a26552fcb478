"""Linear phase ramps; patterns do not determine them, as those of object and probe cancel."""

from __future__ import annotations

import torch
from jaxtyping import Complex
from torch import Tensor


def measure_phase_slopes(image: Complex[Tensor, "*batch h w"]) -> tuple[float, float]:
    """Mean phase step from a row to the next and from a column to the next, in radians, weighted by |image|²."""
    steps = (image[..., 1:, :] * image[..., :-1, :].conj()).sum(), (image[..., 1:] * image[..., :-1].conj()).sum()
    return float(steps[0].angle()), float(steps[1].angle())


def make_phase_ramp(
    shape_px: tuple[int, int],
    slopes: tuple[float, float],
    device: torch.device | None = None,
    dtype: torch.dtype = torch.complex64,
) -> Complex[Tensor, "h w"]:
    """exp(i(s₀·row + s₁·column)) for slopes s in radians per pixel, 1 at pixel [0, 0].

    Angles are computed in double precision: far from the origin they are large.
    """
    rows, columns = (torch.arange(length, dtype=torch.float64, device=device) for length in shape_px)
    angle = slopes[0] * rows[:, None] + slopes[1] * columns
    return torch.polar(torch.ones_like(angle), angle).to(dtype)


def remove_phase_ramp(
    image: Complex[Tensor, "*batch h w"], slopes: tuple[float, float]
) -> Complex[Tensor, "*batch h w"]:
    """The image without the ramp of these slopes (radians per pixel); pixel [0, 0] stays as it is."""
    height, width = image.shape[-2:]
    return image * make_phase_ramp((height, width), (-slopes[0], -slopes[1]), image.device, image.dtype)
