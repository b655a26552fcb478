"""Groups of neighbouring patterns whose overlaps are merged together.

A tile of 16 to 64 nearest neighbours is the usual case; the small C = g² groups of the PtychoPINN papers are the same
thing with a smaller size, drawn at random from a few more neighbours.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ptycho_torch.errors import GroupingError


def nearest_groups(
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


def drawn_groups(
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
        return nearest_groups(positions_px, size, neighbours=neighbours, seed=seed)[times == 1]
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


def choose(patterns: int, count: int, rng: np.random.Generator | None) -> NDArray[np.int64]:
    """So many of the patterns, ascending: random ones, or the first where there is no generator."""
    return np.arange(count) if rng is None else np.sort(rng.permutation(patterns)[:count])


def row_major(positions_px: NDArray[np.float64], groups: NDArray[np.int64], side: int) -> NDArray[np.int64]:
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
