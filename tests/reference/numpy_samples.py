"""Samples to test with: random waves, a compact probe, a specimen without symmetry that is known between pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy_physics import Real, Wave, far_field


def complex_noise(rng: np.random.Generator, *shape: int) -> Wave:
    """Complex normal numbers."""
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def compact_probe(side: int, modes: int = 1, width: float = 2.0, photons: float = 1.0) -> Wave:
    """Gaussian beams (mode, h, w) around [side//2, side//2], without symmetry, zero at the edges for all purposes."""
    offset = np.arange(side) - side // 2
    rows, columns = offset[:, None], offset[None, :]
    first = np.exp(-(rows**2 + columns**2) / (2 * width**2) + 0.03j * (rows**2 + 0.5 * columns * rows))
    probe = [first, 0.5 * first * (rows / width + 0.3j), 0.3 * first * (columns - 0.2j * rows) / width][:modes]
    result = np.array(probe, complex)
    return result * np.sqrt(photons / np.sum(np.abs(result) ** 2))


@dataclass(frozen=True)
class SmoothSpecimen:
    """Transmission known at any position: a few complex bumps on empty space, none of them mirrored by another.

    Attributes:
        bumps: (row, column, width, amplitude loss, phase) of each.
    """

    bumps: tuple[tuple[float, float, float, float, float], ...]

    def at(self, rows: Real, columns: Real) -> Wave:
        """Transmission at positions that broadcast against each other."""
        loss, phase = 0.0 * (rows + columns), 0.0 * (rows + columns)
        for row, column, width, depth, turn in self.bumps:
            bump = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2))
            loss, phase = loss + depth * bump, phase + turn * bump
        result: Wave = (1 - loss) * np.exp(1j * phase)
        return result

    def pixels(self, height: int, width: int) -> Wave:
        """Transmission at the whole positions from (0, 0) on."""
        return self.at(np.arange(height, dtype=float)[:, None], np.arange(width, dtype=float)[None, :])

    def pattern(self, probe: Wave, position: Real) -> Real:
        """Photons with the probe's centre at a position: the specimen is sampled there, and no probe is ever moved."""
        offset = np.arange(probe.shape[-1], dtype=float) - probe.shape[-1] // 2
        patch = self.at(position[0] + offset[:, None], position[1] + offset[None, :])
        return np.sum([np.abs(far_field(patch * mode)) ** 2 for mode in probe], axis=0)


LOPSIDED = SmoothSpecimen(
    (
        (14.0, 20.0, 3.0, 0.30, 0.9),
        (22.0, 15.5, 2.2, 0.10, -0.7),
        (17.5, 29.0, 2.5, 0.35, 0.4),
        (28.0, 25.0, 3.5, 0.05, 0.8),
        (20.5, 23.0, 1.8, 0.20, -0.5),
        (26.0, 33.0, 2.0, 0.15, 1.0),
        (33.0, 17.0, 2.6, 0.25, 0.6),
        (31.0, 31.0, 2.4, 0.30, -0.9),
    )
)
