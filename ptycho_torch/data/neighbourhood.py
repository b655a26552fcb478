"""Which neighbours a pattern is grouped with: the nearest, those in a range of distances, or some of each quadrant."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ptycho_torch.data.grouping import nearest_groups

_log = logging.getLogger(__name__)

NeighbourChoice = Literal["nearest", "within", "quadrants"]

# so many nearest patterns are looked at, so that memory grows with the scan and not with its square
_WIDEST = 256


@dataclass(frozen=True)
class GroupRule:
    """How groups of patterns are put together.

    Attributes:
        size: patterns in a group, its centre included.
        choice: take the others from the nearest, from those `within` the two distances, or in turn from the four
            quadrants around the centre.
        neighbours: how many of the nearest to draw from (nearest and quadrants); as few as it takes without it.
        least_px: neighbours nearer than this are left out (within and quadrants).
        most_px: neighbours farther than this are left out (within and quadrants); no limit without it.
        by_axis: measure distances in units of the usual step along each axis, for scans with steps of two lengths.
        draws: groups drawn around every pattern.
    """

    size: int
    choice: NeighbourChoice = "nearest"
    neighbours: int | None = None
    least_px: float = 0.0
    most_px: float | None = None
    by_axis: bool = False
    draws: int = 1


def ruled_groups(positions_px: NDArray[np.float64], rule: GroupRule, seed: int) -> NDArray[np.int64]:
    """Groups around every pattern, one after another for each draw.

    Where too few neighbours lie within the distances, the nearest are taken instead, and a warning says how often.

    Args:
        positions_px: (pattern, 2).
        rule: size and choice; at least one pattern, a group is never larger than the scan.
        seed: seed of the draws.

    Returns:
        (draws * pattern, size) indices, the centre first.
    """
    size = min(rule.size, len(positions_px))
    metric = _scaled(positions_px) if rule.by_axis else positions_px
    pool = None if rule.neighbours is None else min(max(rule.neighbours, size - 1), len(positions_px) - 1)
    if rule.choice == "nearest" or size == 1:
        return np.concatenate(
            [nearest_groups(metric, size, neighbours=pool, seed=seed + draw) for draw in range(rule.draws)]
        )
    candidates = _candidates(positions_px, metric, rule, size, pool)
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(rule.draws):
        for centre, others in enumerate(candidates):
            chosen = (
                rng.choice(others, size - 1, replace=False)
                if rule.choice == "within"
                else _from_quadrants(positions_px[others] - positions_px[centre], others, size - 1, rng)
            )
            rows.append([centre, *np.sort(chosen).tolist()])
    return np.array(rows, np.int64)


def _scaled(positions_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positions in units of the usual step along each axis: the median distance to the nearest line of the scan."""
    steps = []
    for line in positions_px.T:
        gaps = np.diff(np.sort(line))
        wide = gaps[gaps > 0.05 * max(float(np.ptp(line)), 1e-12) / len(line) ** 0.5]
        steps.append(float(np.median(wide)) if wide.size else 1.0)
    return positions_px / np.array(steps)


def _candidates(
    positions_px: NDArray[np.float64],
    metric: NDArray[np.float64],
    rule: GroupRule,
    size: int,
    pool: int | None,
) -> list[NDArray[np.int64]]:
    """For every pattern the neighbours that may join its group, nearest first."""
    patterns = len(positions_px)
    reach = min(patterns, _WIDEST if rule.choice == "within" or pool is None else pool + 1)
    nearest = np.asarray(cKDTree(metric).query(metric, k=reach)[1], np.int64).reshape(patterns, reach)
    most_px = np.inf if rule.most_px is None else rule.most_px
    tree, fallback = cKDTree(positions_px), max(size - 1, pool or 0)
    result, short = [], 0
    for centre, row in enumerate(nearest):
        others = row[row != centre]
        allowed = _in_range(positions_px, centre, others, rule.least_px, most_px)
        if len(allowed) < size - 1 and rule.choice == "within" and np.isfinite(most_px):
            # the wanted ring may begin behind the nearest that were looked at
            ring = np.array(tree.query_ball_point(positions_px[centre], most_px, return_sorted=True), np.int64)
            allowed = _in_range(positions_px, centre, ring[ring != centre], rule.least_px, most_px)
        if len(allowed) < size - 1:
            short += 1
            allowed = others[:fallback]
        result.append(allowed)
    if short:
        _log.warning(
            "%d of %d patterns have too few neighbours from %g to %g px away; the nearest are taken instead",
            short,
            patterns,
            rule.least_px,
            most_px,
        )
    return result


def _in_range(
    positions_px: NDArray[np.float64], centre: int, others: NDArray[np.int64], least_px: float, most_px: float
) -> NDArray[np.int64]:
    distance = np.linalg.norm(positions_px[others] - positions_px[centre], axis=1)
    return others[(distance >= least_px) & (distance <= most_px)]


def _from_quadrants(
    offsets_px: NDArray[np.float64], others: NDArray[np.int64], wanted: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw from the four quadrants in turn, as long as each has some left."""
    quadrant = (offsets_px[:, 0] >= 0) * 2 + (offsets_px[:, 1] >= 0)
    shuffled = rng.permutation(len(others))
    turn = np.empty(len(others), np.int64)
    for number in range(4):
        members = shuffled[quadrant[shuffled] == number]
        turn[members] = np.arange(len(members))
    # first every quadrant's first, then every quadrant's second, the order within a turn being random too
    order = shuffled[np.argsort(turn[shuffled], kind="stable")]
    return others[order[:wanted]]
