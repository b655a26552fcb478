"""Groups of patterns by brute force: loops over everything, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]


def distance(x: Real, y: Real, one: int, other: int) -> float:
    """Between two patterns."""
    return float(np.hypot(x[one] - x[other], y[one] - y[other]))


def nearest(x: Real, y: Real, centre: int, count: int, among: list[int]) -> set[int]:
    """The `count` patterns nearest to one, itself left out."""
    others = sorted((distance(x, y, centre, other), other) for other in among if other != centre)
    return {other for _, other in others[:count]}


def is_group(x: Real, y: Real, members: list[int], centre: int, neighbours: int, among: list[int]) -> bool:
    """Whether these patterns are the centre and different ones of its nearest neighbours."""
    others = set(members) - {centre}
    return centre in members and len(others) == len(members) - 1 and others <= nearest(x, y, centre, neighbours, among)


def on_grid(x: Real, y: Real, members: list[int], side: int) -> list[int]:
    """The members in the order of the pixels of a side × side grid: top row first, left to right in each."""
    downwards = sorted(members, key=lambda pattern: (y[pattern], x[pattern], pattern))
    result: list[int] = []
    for row in range(side):
        part = downwards[row * side : (row + 1) * side]
        result += sorted(part, key=lambda pattern: (x[pattern], y[pattern], pattern))
    return result


def grouped(
    amplitude: Real,
    nominal: tuple[Real, Real],
    corrected: tuple[Real, Real],
    specimen: NDArray[np.complex128],
    table: NDArray[Any],
) -> dict[str, Any]:
    """Everything that follows from the table of groups (group, channel)."""
    groups, channels = table.shape
    side = amplitude.shape[1]
    result: dict[str, Any] = {
        "diffraction": np.zeros((groups, side, side, channels)),
        "Y": np.zeros((groups, side, side, channels), complex),
    }
    for prefix, (x, y) in (("coords", corrected), ("coords_start", nominal)):
        places, means = np.zeros((groups, 1, 2, channels)), np.zeros((groups, 1, 2, 1))
        for group in range(groups):
            for channel in range(channels):
                places[group, 0, :, channel] = x[table[group, channel]], y[table[group, channel]]
            means[group, 0, :, 0] = sum(places[group, 0, :, channel] for channel in range(channels)) / channels
        result |= {f"{prefix}_nn": places, f"{prefix}_offsets": means, f"{prefix}_relative": -(places - means)}
    x, y = corrected
    for group in range(groups):
        for channel in range(channels):
            pattern = table[group, channel]
            top, left = round(float(y[pattern])) - side // 2, round(float(x[pattern])) - side // 2
            result["diffraction"][group, :, :, channel] = amplitude[pattern]
            result["Y"][group, :, :, channel] = specimen[top : top + side, left : left + side]
    power = [np.sum(amplitude[pattern] ** 2) for pattern in table.ravel()]
    result["X_full"] = result["diffraction"] * (side / 2) / np.sqrt(sum(power) / len(power))
    return result
