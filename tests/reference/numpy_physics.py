"""Ptychography in float64 by loops and written-out sums, from the conventions alone, to test the package against.

Positions are (row, column) of the object pixel under patch pixel [N//2, N//2], objects start at position (0, 0), the
zero frequency lies at [N//2, N//2]. Nothing here uses an FFT.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]
Wave = NDArray[np.complex128]
Whole = NDArray[np.int64]


def centred_dft(side: int) -> Wave:
    """Matrix of the unitary Fourier transform between axes whose zero lies at side // 2."""
    offset = np.arange(side) - side // 2
    return np.exp(-2j * np.pi * np.outer(offset, offset) / side) / np.sqrt(side)


def far_field(wave: Wave) -> Wave:
    """One exit wave at the detector."""
    rows, columns = centred_dft(wave.shape[0]), centred_dft(wave.shape[1])
    return rows @ wave @ columns.T


def near_field(wave: Wave) -> Wave:
    """One detector wave back at the sample."""
    rows, columns = centred_dft(wave.shape[0]), centred_dft(wave.shape[1])
    return rows.conj() @ wave @ columns.conj().T


def interpolation(side: int, shift: float) -> Real:
    """Matrix that evaluates the trigonometric interpolation of samples at x − shift for every x."""
    place = np.arange(side)[:, None] - shift - np.arange(side)[None, :]
    turn = np.pi * place / side
    near = np.abs(np.sin(turn)) < 1e-13
    safe = np.where(near, 0.5, turn)
    kernel = np.sin(np.pi * place) / (side * (np.tan(safe) if side % 2 == 0 else np.sin(safe)))
    return np.where(near, 1.0, kernel)


def shifted(image: Wave, shift: Sequence[float] | Real) -> Wave:
    """One image moved by (row, column) towards higher indices."""
    return interpolation(image.shape[0], shift[0]) @ image @ interpolation(image.shape[1], shift[1]).T


def unshifted(image: Wave, shift: Sequence[float] | Real) -> Wave:
    """The adjoint of `shifted`."""
    return interpolation(image.shape[0], shift[0]).T @ image @ interpolation(image.shape[1], shift[1])


def split_position(position: Real) -> tuple[tuple[int, int], Real]:
    """Whole part and rest of a position."""
    row, column = round(float(position[0])), round(float(position[1]))
    return (row, column), np.array([position[0] - row, position[1] - column])


def cut(image: Wave, corner: tuple[int, int], side: int) -> Wave:
    """The patch whose pixel [0, 0] lies at a corner."""
    row, column = corner
    assert row >= 0
    assert column >= 0
    patch = image[row : row + side, column : column + side]
    assert patch.shape == (side, side)
    return patch


def pattern(specimen: Wave, probe: Wave, position: Real) -> Real:
    """Photons expected on each detector pixel with a probe (mode, h, w) at a position on a specimen."""
    side = probe.shape[-1]
    centre, rest = split_position(position)
    patch = cut(specimen, (centre[0] - side // 2, centre[1] - side // 2), side)
    photons = np.zeros((side, side))
    for mode in probe:
        photons += np.abs(far_field(patch * shifted(mode, rest))) ** 2
    return photons


def patterns(specimen: Wave, probe: Wave, positions: Real) -> Real:
    """`pattern` for every position."""
    return np.array([pattern(specimen, probe, position) for position in positions])


def scattered(patches: NDArray[np.generic], corners: Whole, shape: tuple[int, int]) -> Wave:
    """Patches added onto an empty canvas."""
    canvas = np.zeros(shape, complex)
    side = patches.shape[-1]
    for patch, (row, column) in zip(patches, corners.tolist(), strict=True):
        for down in range(side):
            canvas[row + down, column : column + side] += patch[down]
    return canvas


def merged(patches: Wave, lights: Real, corners: Whole, shape: tuple[int, int]) -> Wave:
    """For every canvas pixel the mean of what lies there, empty space counting as a patch of 10⁻³ of the brightest."""
    side = patches.shape[-1]
    faint = 1e-3 * lights.max()
    result = np.empty(shape, complex)
    for row in range(shape[0]):
        for column in range(shape[1]):
            values, weights = [1.0 + 0j], [faint]
            for patch, light, corner in zip(patches, lights, corners.tolist(), strict=True):
                place = (row - corner[0], column - corner[1])
                if 0 <= place[0] < side and 0 <= place[1] < side:
                    values.append(complex(patch[place]))
                    weights.append(float(light[place]))
            result[row, column] = np.average(values, weights=weights)
    return result


def poisson_deviance(expected: Real, counts: Real, good: NDArray[np.bool_]) -> float:
    """Mean of 2[λ − n + n·ln(n/λ)] over good pixels."""
    terms = []
    for lam, number in zip(expected[..., good].ravel(), counts[..., good].ravel(), strict=True):
        terms.append(2 * lam if number == 0 else 2 * (lam - number + number * np.log(number / lam)))
    return float(np.mean(terms))


def amplitude_mae(expected: Real, counts: Real, good: NDArray[np.bool_]) -> float:
    """Mean of |√λ − √n| over good pixels."""
    return float(np.mean(np.abs(np.sqrt(expected[..., good]) - np.sqrt(counts[..., good]))))


def anscombe(expected: Real, counts: Real, good: NDArray[np.bool_]) -> float:
    """Mean squared difference of 2√(n + 3/8) over good pixels."""
    first, second = (2 * np.sqrt(values[..., good] + 3 / 8) for values in (expected, counts))
    return float(np.mean((first - second) ** 2))


def total_variation(image: Wave) -> float:
    """Mean over pixels with a lower and a right neighbour of √(|∂_row|² + |∂_column|²)."""
    terms = []
    for row in range(image.shape[0] - 1):
        for column in range(image.shape[1] - 1):
            down = abs(image[row + 1, column] - image[row, column])
            across = abs(image[row, column + 1] - image[row, column])
            terms.append(np.hypot(down, across))
    return float(np.mean(terms))


def residual(expected: Real, counts: Real) -> float:
    """R = √(Σ(√λ−√n)² / Σn)."""
    return float(np.sqrt(np.sum((np.sqrt(expected) - np.sqrt(counts)) ** 2) / np.sum(counts)))


def stitched(patches: Wave, light: Real, corners: Whole, shape: tuple[int, int]) -> tuple[Wave, Real, Real]:
    """Merged object, light and weighted standard deviation of overlapping patches, one light for all."""
    side = patches.shape[-1]
    lights = np.broadcast_to(light, patches.shape)
    total, spread = np.zeros(shape), np.zeros(shape)
    for row in range(shape[0]):
        for column in range(shape[1]):
            values, weights = [], []
            for patch, corner in zip(patches, corners.tolist(), strict=True):
                place = (row - corner[0], column - corner[1])
                if 0 <= place[0] < side and 0 <= place[1] < side:
                    values.append(complex(patch[place]))
                    weights.append(float(light[place]))
            total[row, column] = sum(weights)
            if total[row, column] > 0:
                mean = np.average(values, weights=weights)
                spread[row, column] = np.sqrt(np.average(np.abs(np.array(values) - mean) ** 2, weights=weights))
    return merged(patches, lights, corners, shape), total, spread
