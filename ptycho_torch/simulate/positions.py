"""Scan paths: positions (row, column) in pixels, centred on zero, at most `extent_px` from it along either axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import SimulationSettings
from ptycho_torch.errors import ConfigError
from ptycho_torch.storage.untrusted import LARGEST_BYTES

PathName = Literal["raster", "spiral"]


def find_extent(settings: SimulationSettings) -> float:
    """How far from the middle of the object, in pixels, patterns fit onto it.

    Raises:
        ConfigError: not even for one step, or the steps are so many that no memory holds their patterns.
    """
    side, patch, step = settings.object_px, settings.patch_px, settings.step_px
    extent = (side - patch) / 2 - 1
    if extent < step:
        raise ConfigError(
            f"SimulationSettings.object_px is {side}; with patterns of {patch} px and steps of {step:g} px "
            f"it must be at least {patch + 2 * math.ceil(step) + 2}"
        )
    patterns = (2 * extent / step) ** 2
    if 4 * patterns * patch**2 > LARGEST_BYTES:
        raise ConfigError(
            f"SimulationSettings.step_px is {step:g}; {patterns:.3g} patterns of {patch} px would need "
            f"{4 * patterns * patch**2 / 2**30:.3g} GiB, the limit is {LARGEST_BYTES / 2**30:.0f} GiB"
        )
    return extent


def raster(extent_px: float, step_px: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Rows and columns `step_px` apart, each position moved at random by up to a quarter step.

    The jitter breaks the periodicity of the grid, which would otherwise appear in the object.
    """
    reach = max(extent_px - step_px / 4, 0.0)
    line = np.arange(-np.floor(reach / step_px), np.floor(reach / step_px) + 1) * step_px
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    return grid + rng.uniform(-0.25, 0.25, grid.shape) * step_px


def spiral(extent_px: float, step_px: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Fermat spiral: point k at radius ∝ √k and k golden angles, one point per `step_px`² of the disc."""
    golden_angle = np.pi * (3 - 5**0.5)
    per_root = step_px / np.pi**0.5
    order = np.arange(1, max(int((extent_px / per_root) ** 2), 1) + 1)
    angle = order * golden_angle + rng.uniform(0, 2 * np.pi)
    return (per_root * np.sqrt(order))[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=-1)


PATHS: dict[PathName, Callable[[float, float, np.random.Generator], NDArray[np.float64]]] = {
    "raster": raster,
    "spiral": spiral,
}
