"""Who may join whose group, by all distances."""

from __future__ import annotations

import numpy as np
from numpy_physics import Real


def by_distance(positions: Real, centre: int) -> list[int]:
    """All other patterns, nearest first."""
    distance = [float(np.hypot(*(position - positions[centre]))) for position in positions]
    return sorted((number for number in range(len(positions)) if number != centre), key=distance.__getitem__)


def allowed(positions: Real, centre: int, least: float, most: float, pool: int | None, wanted: int) -> set[int]:
    """Of the `pool` nearest those between two distances; the `wanted` nearest where these are too few."""
    others = by_distance(positions, centre)[:pool]
    inside = {other for other in others if least <= float(np.hypot(*(positions[other] - positions[centre]))) <= most}
    return inside if len(inside) >= wanted else set(others[:wanted])


def shared_fairly(positions: Real, centre: int, members: set[int], candidates: set[int]) -> bool:
    """Whether quadrants were drawn from in turn: none gave two more than another that had some left."""
    given, there = {}, {}
    for number in range(4):
        inside = set()
        for other in candidates:
            row, column = positions[other] - positions[centre]
            if (row >= 0) * 2 + (column >= 0) == number:
                inside.add(other)
        given[number], there[number] = len(inside & members), len(inside)
    most = max(given.values())
    return all(given[number] >= min(there[number], most - 1) for number in range(4))
