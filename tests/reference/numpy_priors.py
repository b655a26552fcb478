"""Priors on object patches, pixel by pixel in float64: means in the light of each patch, then over patches."""

from __future__ import annotations

import cmath
from collections.abc import Callable

import numpy as np
from numpy_physics import Real, Wave


def _variation(patches: Wave, lights: Real, step: Callable[[complex, complex], float]) -> float:
    """Mean of √(step down² + step across²) over pixels with a lower and a right neighbour."""
    means = []
    for patch, light in zip(patches, lights, strict=True):
        values, weights = [], []
        for row in range(patch.shape[0] - 1):
            for column in range(patch.shape[1] - 1):
                here = complex(patch[row, column])
                down, across = complex(patch[row + 1, column]), complex(patch[row, column + 1])
                values.append(float(np.hypot(step(here, down), step(here, across))))
                weights.append(float(light[row, column]))
        means.append(np.average(values, weights=weights))
    return float(np.mean(means))


def amplitude_variation(patches: Wave, lights: Real) -> float:
    """Isotropic total variation of the amplitude."""
    return _variation(patches, lights, lambda here, there: abs(there) - abs(here))


def phase_variation(patches: Wave, lights: Real) -> float:
    """Isotropic total variation of the phase; steps between −π and π."""
    return _variation(patches, lights, lambda here, there: cmath.phase(there / here))


def amplitude_deviation(patches: Wave, lights: Real) -> float:
    """Mean of |a − ⟨a⟩|."""
    means = []
    for patch, light in zip(np.abs(patches), lights, strict=True):
        means.append(np.average(np.abs(patch - np.average(patch, weights=light)), weights=light))
    return float(np.mean(means))


def phase_deviation(patches: Wave, lights: Real) -> float:
    """Mean of |φ − ⟨φ⟩| with ⟨φ⟩ the phase of the patch's mean; differences between −π and π."""
    means = []
    for patch, light in zip(patches, lights, strict=True):
        middle = complex(np.average(patch, weights=light))
        means.append(np.average(np.abs(np.angle(patch / middle)), weights=light))
    return float(np.mean(means))


def amplitude_variance(patches: Wave, lights: Real) -> float:
    """Mean of (a − ⟨a⟩)²."""
    means = []
    for patch, light in zip(np.abs(patches), lights, strict=True):
        means.append(np.average((patch - np.average(patch, weights=light)) ** 2, weights=light))
    return float(np.mean(means))


def object_mae(patches: Wave, labels: Wave, lights: Real) -> float:
    """Mean of |O − label|."""
    pairs = zip(patches, labels, lights, strict=True)
    return float(np.mean([np.average(np.abs(patch - label), weights=light) for patch, label, light in pairs]))
