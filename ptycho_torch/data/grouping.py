"""Groups of neighbouring patterns whose overlaps are merged together.

A tile of 16 to 64 nearest neighbours is the usual case; the small C = g² groups of the PtychoPINN papers are the same
thing with a smaller size, drawn at random from a few more neighbours.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, cKDTree

from ptycho_torch.errors import GroupingError

_FEWEST_TO_TRIANGULATE = 4
_MOVED_PX = 0.01


def group_nearest(
    positions_px: NDArray[np.float64],
    size: int,
    *,
    neighbours: int | None = None,
    seed: int = 0,
) -> NDArray[np.int64]:
    """For every pattern, the group of itself and its nearest neighbours.

    Args:
        positions_px: (pattern, 2).
        size: patterns in a group, the first of which is the centre.
        neighbours: draw the others at random from so many nearest ones; without it the nearest are taken.
        seed: seed of that draw.

    Returns:
        (pattern, size) indices.

    Raises:
        GroupingError: the scan has fewer patterns than a group, or there are too few neighbours to draw from.
    """
    others = _others(positions_px, size, size - 1 if neighbours is None else neighbours)
    if others.shape[1] > size - 1:
        rng = np.random.default_rng(seed)
        chosen = np.sort(np.argsort(rng.random(others.shape), axis=1)[:, : size - 1], axis=1)
        others = np.take_along_axis(others, chosen, axis=1)
    return np.concatenate([np.arange(len(others))[:, None], others], axis=1)


def draw_groups(
    positions_px: NDArray[np.float64],
    size: int,
    *,
    neighbours: int,
    groups: int,
    sequential: bool = False,
    seed: int = 0,
) -> NDArray[np.int64]:
    """A given number of groups, each drawn from the nearest neighbours of a pattern.

    Fewer groups than patterns are those of some patterns, chosen at random; more are several different ones of each.

    Args:
        positions_px: (pattern, 2).
        size: patterns in a group, the first of which is the centre.
        neighbours: the others are drawn from so many nearest ones.
        groups: how many.
        sequential: where some patterns have a group more than others, these are the first ones, not random ones.
        seed: seed of all draws.

    Returns:
        (group, size) indices, in the order of the centres.

    Raises:
        GroupingError: groups of this size, or so many different ones, cannot be made.
    """
    patterns = len(positions_px)
    rounds, rest = divmod(groups, patterns)
    times = np.full(patterns, rounds)
    times[choose(patterns, rest, None if sequential else np.random.default_rng((seed, 1)))] += 1
    if groups <= patterns:
        return group_nearest(positions_px, size, neighbours=neighbours, seed=seed)[times == 1]
    others = _others(positions_px, size, neighbours)
    most = patterns * math.comb(others.shape[1], size - 1)
    if groups > most:
        raise GroupingError(
            f"{groups} groups were asked for; {patterns} patterns with {others.shape[1]} neighbours each make at most "
            f"{most} different groups of {size}; more neighbours or fewer groups would do"
        )
    rng = np.random.default_rng(seed)
    table = [
        [centre, *others[centre, list(chosen)]]
        for centre, count in enumerate(times)
        for chosen in _different(others.shape[1], size - 1, int(count), rng)
    ]
    return np.array(table, np.int64)


def pair_neighbours(positions_px: NDArray[np.float64]) -> NDArray[np.int64]:
    """Pairs of patterns that lie side by side, (pair, 2) with the smaller number first, each once.

    These are the edges of the Delaunay triangulation, which leave no pattern out and connect a scan in every direction
    however different its steps are.
    """
    patterns = len(positions_px)
    if patterns < _FEWEST_TO_TRIANGULATE:
        return np.stack(np.triu_indices(patterns, 1), axis=1)
    # patterns in one line or at one place have no triangles
    moved = positions_px + np.random.default_rng(0).uniform(-_MOVED_PX, _MOVED_PX, positions_px.shape)
    corners = np.sort(Delaunay(moved - moved.mean(axis=0)).simplices, axis=1)
    return np.unique(np.concatenate([corners[:, [0, 1]], corners[:, [0, 2]], corners[:, [1, 2]]]), axis=0)


def choose(patterns: int, count: int, rng: np.random.Generator | None) -> NDArray[np.int64]:
    """So many of the patterns, ascending: random ones, or the first where there is no generator."""
    return np.arange(count) if rng is None else np.sort(rng.permutation(patterns)[:count])


def sort_row_major(positions_px: NDArray[np.float64], groups: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    """Order each group (group, side²) like the pixels of a side × side grid.

    The patterns are sorted by row and dealt out to the rows of the grid, each of which is sorted by column. Equal
    coordinates are told apart by the other one, then by the pattern's number.
    """
    rows = _sorted_along(0, positions_px, groups).reshape(len(groups), side, side)
    return _sorted_along(1, positions_px, rows).reshape(groups.shape)


def _sorted_along(axis: int, positions_px: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    places = positions_px[groups]
    order = np.lexsort((groups, places[..., 1 - axis], places[..., axis]), axis=-1)
    return np.take_along_axis(groups, order, axis=-1)


def _others(positions_px: NDArray[np.float64], size: int, neighbours: int) -> NDArray[np.int64]:
    """The nearest neighbours of every pattern without itself, (pattern, neighbours), fewer where the scan ends."""
    patterns = len(positions_px)
    if size > patterns:
        raise GroupingError(f"a group of {size} patterns was asked for; the scan has {patterns}")
    if neighbours < size - 1:
        raise GroupingError(f"{neighbours} neighbours were asked for; a group of {size} needs at least {size - 1}")
    reach = min(neighbours + 1, patterns)
    found = np.asarray(cKDTree(positions_px).query(positions_px, k=reach)[1], np.int64).reshape(patterns, reach)
    # of patterns at the same place the tree may name another one first
    own = found == np.arange(patterns)[:, None]
    own[~own.any(axis=1), -1] = True
    return found[~own].reshape(patterns, -1)


def _different(options: int, size: int, count: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """So many different choices of `size` among `options`; there must be that many."""
    found: set[tuple[int, ...]] = set()
    while len(found) < count:
        found.add(tuple(sorted(rng.permutation(options)[:size].tolist())))
    return sorted(found)


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


def make_groups(positions_px: NDArray[np.float64], rule: GroupRule, seed: int) -> NDArray[np.int64]:
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
            [group_nearest(metric, size, neighbours=pool, seed=seed + draw) for draw in range(rule.draws)]
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
