"""Objects of simulated scans: seeded, without symmetry, with amplitude and phase."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

ObjectName = Literal["siemens", "lines", "dead_leaves"]

AMPLITUDE_LOSS = 0.4
PHASE_RANGE_RAD = 1.2
_OVERSAMPLING = 2


def make_transmission(thickness: NDArray[np.float64]) -> NDArray[np.complex64]:
    """Complex transmission of a specimen with a relative thickness between 0 (vacuum) and 1."""
    return ((1 - AMPLITUDE_LOSS * thickness) * np.exp(1j * PHASE_RANGE_RAD * thickness)).astype(np.complex64)


def siemens_star(shape_px: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Thickness of a star of spokes with ring-shaped gaps, off centre, rotated at random, with one spoke missing."""
    rows, columns = _make_grid(shape_px)
    extent = min(shape_px) / 2
    centre = np.array(shape_px) / 2 + rng.uniform(-0.12, 0.12, 2) * extent
    radius = np.hypot(rows - centre[0], columns - centre[1])
    angle = np.arctan2(rows - centre[0], columns - centre[1]) + rng.uniform(0, 2 * np.pi)
    spokes = 18
    inside = (np.sin(spokes * angle) > 0) & (radius < 0.9 * extent) & (radius > 0.04 * extent)
    for ring in (0.3, 0.6):
        inside &= np.abs(radius - ring * extent) > 0.03 * extent
    missing = np.mod(angle, 2 * np.pi) < 2 * np.pi / spokes
    return _reduce((inside & ~missing).astype(float))


def lines(shape_px: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Thickness of straight bars of random place, direction, width and thickness, slightly blurred."""
    rows, columns = _make_grid(shape_px)
    thickness = np.zeros(rows.shape)
    for _ in range(max(24, round(shape_px[0] * shape_px[1] / 1200))):
        angle = rng.uniform(0, np.pi)
        start = rng.uniform(0, 1, 2) * shape_px
        along = (rows - start[0]) * np.sin(angle) + (columns - start[1]) * np.cos(angle)
        across = (rows - start[0]) * np.cos(angle) - (columns - start[1]) * np.sin(angle)
        bar = (np.abs(across) < rng.uniform(0.8, 3.5)) & (np.abs(along) < rng.uniform(0.1, 0.5) * max(shape_px))
        thickness[bar] += rng.uniform(0.2, 0.6)
    return gaussian_filter(_reduce(np.clip(thickness, 0, 1)), 0.7)


def dead_leaves(shape_px: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Thickness of opaque discs that cover one another, with radii from a power law as in natural images."""
    rows, columns = _make_grid(shape_px)
    thickness = np.full(rows.shape, 0.5)
    radius_px = (3.0, min(shape_px) / 5)
    for _ in range(round(shape_px[0] * shape_px[1] / 60)):
        # density ∝ radius⁻³, drawn by its inverse distribution
        low, high = radius_px[0] ** -2, radius_px[1] ** -2
        radius = rng.uniform(high, low) ** -0.5
        centre = rng.uniform(0, 1, 2) * shape_px
        top, left = ((centre - radius) * _OVERSAMPLING).clip(0).astype(int)
        bottom, right = ((centre + radius) * _OVERSAMPLING + 2).astype(int)
        part = np.s_[top:bottom, left:right]
        disc = (rows[part] - centre[0]) ** 2 + (columns[part] - centre[1]) ** 2 < radius**2
        thickness[part][disc] = rng.uniform(0, 1)
    return _reduce(thickness)


def _make_grid(shape_px: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    height, width = shape_px
    rows, columns = np.mgrid[: height * _OVERSAMPLING, : width * _OVERSAMPLING]
    return (rows + 0.5) / _OVERSAMPLING, (columns + 0.5) / _OVERSAMPLING


def _reduce(image: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = (side // _OVERSAMPLING for side in image.shape)
    return image.reshape(height, _OVERSAMPLING, width, _OVERSAMPLING).mean(axis=(1, 3))


OBJECTS: dict[ObjectName, Callable[[tuple[int, int], np.random.Generator], NDArray[np.float64]]] = {
    "siemens": siemens_star,
    "lines": lines,
    "dead_leaves": dead_leaves,
}
