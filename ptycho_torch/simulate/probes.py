"""Probes of simulated scans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.physics.propagate import propagate_back

ProbeName = Literal["zone_plate", "gaussian"]


def zone_plate(patch_px: int, diameter_px: float) -> NDArray[np.complex64]:
    """Defocused focus of a zone plate with a central stop, about `diameter_px` wide; (1, h, w), unit power.

    The pupil is a ring in the far field; defocus spreads a focus of a few pixels to this diameter.
    """
    frequency = np.fft.fftshift(np.fft.fftfreq(patch_px))
    radius = np.hypot(*np.meshgrid(frequency, frequency, indexing="ij"))
    outer = 0.14
    edge = 1.5 / patch_px
    pupil = _smooth_step((outer - radius) / edge) * _smooth_step((radius - 0.35 * outer) / edge)
    # in geometric optics a phase π·z·q² moves the ray of frequency q by z·q pixels
    defocus = diameter_px / (2 * outer)
    spectrum = pupil * np.exp(1j * np.pi * defocus * radius**2)
    return _normalise_power(propagate_back(torch.from_numpy(spectrum)).numpy())


def gaussian(patch_px: int, diameter_px: float) -> NDArray[np.complex64]:
    """Gaussian beam whose intensity has the full width at half maximum `diameter_px`, slightly curved; (1, h, w)."""
    offset = np.arange(patch_px) - patch_px // 2
    squared = offset[:, None] ** 2 + offset[None, :] ** 2
    sigma_squared = diameter_px**2 / (4 * np.log(2))
    curvature = 1.5 * squared / diameter_px**2
    return _normalise_power(np.exp(-squared / (2 * sigma_squared) + 1j * curvature))


def _smooth_step(value: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(value + 0.5, 0, 1)
    return clipped * clipped * (3 - 2 * clipped)


def _normalise_power(wave: NDArray[np.complex128]) -> NDArray[np.complex64]:
    return (wave / np.linalg.norm(wave)).astype(np.complex64)[None]


PROBES: dict[ProbeName, Callable[[int, float], NDArray[np.complex64]]] = {
    "zone_plate": zone_plate,
    "gaussian": gaussian,
}
