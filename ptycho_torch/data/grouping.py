"""Groups of neighbouring patterns, whose overlapping patches are merged.

The usual size is 16 to 64 nearest neighbours. The C = g² patterns of the PtychoPINN papers are smaller groups, drawn at
random from a few more neighbours.
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

_log = logging.getLogger(__name__)

NeighbourChoice = Literal["nearest", "within", "quadrants"]

_FEWEST_TO_TRIANGULATE = 4
_JITTER_PX = 0.01
# nearest patterns that are considered for a group, so that memory grows with the scan and not with its square
_MOST_CANDIDATES = 256


@dataclass(frozen=True)
class GroupRule:
    """How groups of patterns are formed.

    Attributes:
        size: patterns in a group, including its centre.
        choice: take the others from the `nearest`, from those `within` the two distances, or in turn from the four
            `quadrants` around the centre.
        neighbours: number of nearest patterns to draw from (nearest and quadrants); None for the smallest that works.
        least_px: closest distance of a neighbour (within and quadrants).
        most_px: farthest distance of a neighbour (within and quadrants); None for no limit.
        by_axis: measure distances in units of the median step along each axis, for scans with two different steps.
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
    """Form groups around every pattern by a rule.

    If a pattern has too few neighbours within the distances, the nearest ones are taken, with a warning.

    Args:
        positions_px: (pattern, 2), at least one; a group is never larger than the scan.
        rule: size and choice of the groups.
        seed: seed of the draws.

    Returns:
        (draws * pattern, size) indices, the centre first.
    """
    size = min(rule.size, len(positions_px))
    metric = _scale_by_step(positions_px) if rule.by_axis else positions_px
    pool = None if rule.neighbours is None else min(max(rule.neighbours, size - 1), len(positions_px) - 1)
    if rule.choice == "nearest" or size == 1:
        draws = [group_nearest(metric, size, neighbours=pool, seed=seed + draw) for draw in range(rule.draws)]
        return np.concatenate(draws)
    candidates = _find_candidates(positions_px, metric, rule, size, pool)
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(rule.draws):
        for centre, others in enumerate(candidates):
            chosen = (
                rng.choice(others, size - 1, replace=False)
                if rule.choice == "within"
                else _draw_from_quadrants(positions_px[others] - positions_px[centre], others, size - 1, rng)
            )
            rows.append([centre, *np.sort(chosen).tolist()])
    return np.array(rows, np.int64)


def group_nearest(
    positions_px: NDArray[np.float64],
    size: int,
    *,
    neighbours: int | None = None,
    seed: int = 0,
    groups: int | None = None,
) -> NDArray[np.int64]:
    """Group every pattern with its nearest neighbours.

    Args:
        positions_px: (pattern, 2).
        size: patterns in a group.
        neighbours: number of nearest patterns to draw the others from; None to take the nearest.
        seed: seed of the draw.
        groups: number of patterns, the first ones, whose groups are wanted; None for all.

    Returns:
        (pattern, size) indices, the centre first.

    Raises:
        GroupingError: the scan has fewer patterns than a group, or there are too few neighbours to draw from.
    """
    others = _find_nearest(positions_px, size, size - 1 if neighbours is None else neighbours, groups)
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
    """Draw a number of groups from the nearest neighbours of patterns.

    Fewer groups than patterns are those of some patterns, chosen at random; more are different ones of each pattern.

    Args:
        positions_px: (pattern, 2).
        size: patterns in a group.
        neighbours: number of nearest patterns to draw from.
        groups: number of groups.
        sequential: if some patterns get one group more than others, choose the first ones and not random ones.
        seed: seed of all draws.

    Returns:
        (group, size) indices, the centre first, in the order of the centres.

    Raises:
        GroupingError: groups of this size, or so many different ones, do not exist.
    """
    patterns = len(positions_px)
    rounds, rest = divmod(groups, patterns)
    times = np.full(patterns, rounds)
    times[choose(patterns, rest, None if sequential else np.random.default_rng((seed, 1)))] += 1
    if groups <= patterns:
        return group_nearest(positions_px, size, neighbours=neighbours, seed=seed)[times == 1]
    others = _find_nearest(positions_px, size, neighbours)
    most = patterns * math.comb(others.shape[1], size - 1)
    if groups > most:
        raise GroupingError(
            f"{groups} groups are too many; {patterns} patterns with {others.shape[1]} neighbours each make at most "
            f"{most} different groups of {size}: increase the neighbours or decrease the groups"
        )
    rng = np.random.default_rng(seed)
    table = [
        [centre, *others[centre, list(chosen)]]
        for centre, count in enumerate(times)
        for chosen in _draw_different(others.shape[1], size - 1, int(count), rng)
    ]
    return np.array(table, np.int64)


def pair_neighbours(positions_px: NDArray[np.float64]) -> NDArray[np.int64]:
    """Pair adjacent patterns, (pair, 2) with the smaller number first, each pair once.

    The pairs are the edges of the Delaunay triangulation, which includes all patterns and connects a scan in every
    direction, also if its steps differ.
    """
    patterns = len(positions_px)
    if patterns < _FEWEST_TO_TRIANGULATE:
        return np.stack(np.triu_indices(patterns, 1), axis=1)
    # patterns on one line or at one position have no triangles
    moved = positions_px + np.random.default_rng(0).uniform(-_JITTER_PX, _JITTER_PX, positions_px.shape)
    corners = np.sort(Delaunay(moved - moved.mean(axis=0)).simplices, axis=1)
    return np.unique(np.concatenate([corners[:, [0, 1]], corners[:, [0, 2]], corners[:, [1, 2]]]), axis=0)


def choose(patterns: int, count: int, rng: np.random.Generator | None) -> NDArray[np.int64]:
    """Choose some of the patterns at random, in ascending order, or the first ones if there is no generator."""
    return np.arange(count) if rng is None else np.sort(rng.permutation(patterns)[:count])


def sort_row_major(positions_px: NDArray[np.float64], groups: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    """Order each group (group, side²) like the pixels of a side × side grid.

    The patterns are sorted by row and divided into the rows of the grid, each of which is sorted by column. Ties are
    resolved by the other coordinate, then by the pattern's number.
    """
    rows = _sort_along(0, positions_px, groups).reshape(len(groups), side, side)
    return _sort_along(1, positions_px, rows).reshape(groups.shape)


def _sort_along(axis: int, positions_px: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    places = positions_px[groups]
    order = np.lexsort((groups, places[..., 1 - axis], places[..., axis]), axis=-1)
    return np.take_along_axis(groups, order, axis=-1)


def _find_nearest(
    positions_px: NDArray[np.float64], size: int, neighbours: int, first: int | None = None
) -> NDArray[np.int64]:
    """Find the nearest neighbours of the first patterns, (pattern, neighbours), fewer if the scan has not as many."""
    patterns = len(positions_px)
    if size > patterns:
        raise GroupingError(f"the size of a group is {size}; the scan has {patterns} patterns")
    if neighbours < size - 1:
        raise GroupingError(f"{neighbours} neighbours are too few; a group of {size} needs at least {size - 1}")
    reach, centres = min(neighbours + 1, patterns), positions_px[:first]
    found = np.asarray(cKDTree(positions_px).query(centres, k=reach)[1], np.int64).reshape(len(centres), reach)
    # among patterns at the same position the tree may find another one first
    own = found == np.arange(len(centres))[:, None]
    own[~own.any(axis=1), -1] = True
    return found[~own].reshape(len(centres), -1)


def _draw_different(options: int, size: int, count: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Draw a number of different choices of `size` among `options`; so many must exist."""
    found: set[tuple[int, ...]] = set()
    while len(found) < count:
        found.add(tuple(sorted(rng.permutation(options)[:size].tolist())))
    return sorted(found)


def _scale_by_step(positions_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale positions to units of the median step along each axis, gaps within a line of the scan left out."""
    steps = []
    for line in positions_px.T:
        gaps = np.diff(np.sort(line))
        wide = gaps[gaps > 0.05 * max(float(np.ptp(line)), 1e-12) / len(line) ** 0.5]
        steps.append(float(np.median(wide)) if wide.size else 1.0)
    return positions_px / np.array(steps)


def _find_candidates(
    positions_px: NDArray[np.float64],
    metric: NDArray[np.float64],
    rule: GroupRule,
    size: int,
    pool: int | None,
) -> list[NDArray[np.int64]]:
    """Find the neighbours of every pattern that may join its group, nearest first."""
    most_px = np.inf if rule.most_px is None else rule.most_px

    def select(centre: int, others: NDArray[np.int64]) -> NDArray[np.int64]:
        distance_px = np.linalg.norm(positions_px[others] - positions_px[centre], axis=1)
        return others[(distance_px >= rule.least_px) & (distance_px <= most_px) & (others != centre)]

    tree, result, short = cKDTree(positions_px), [], 0
    for centre, others in enumerate(
        _find_nearest(metric, size, _MOST_CANDIDATES - 1 if rule.choice == "within" or pool is None else pool)
    ):
        allowed = select(centre, others)
        if len(allowed) < size - 1 and rule.choice == "within" and np.isfinite(most_px):
            # the allowed ring may begin beyond the nearest that were considered
            ring = tree.query_ball_point(positions_px[centre], most_px, return_sorted=True)
            allowed = select(centre, np.array(ring, np.int64))
        if len(allowed) < size - 1:
            short += 1
            allowed = others[: max(size - 1, pool or 0)]
        result.append(allowed)
    if short:
        _log.warning(
            "%d of %d patterns have too few neighbours from %g to %g px away; the nearest are taken instead",
            short,
            len(positions_px),
            rule.least_px,
            most_px,
        )
    return result


def _draw_from_quadrants(
    offsets_px: NDArray[np.float64], others: NDArray[np.int64], wanted: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw from the four quadrants in turn, as long as they have patterns left."""
    quadrant = (offsets_px[:, 0] >= 0) * 2 + (offsets_px[:, 1] >= 0)
    shuffled = rng.permutation(len(others))
    turn = np.empty(len(others), np.int64)
    for number in range(4):
        members = shuffled[quadrant[shuffled] == number]
        turn[members] = np.arange(len(members))
    # the first of every quadrant, then the second of every quadrant, in random order within a turn
    order = shuffled[np.argsort(turn[shuffled], kind="stable")]
    return others[order[:wanted]]
