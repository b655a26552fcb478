"""Groups of neighbouring patterns whose overlaps are merged together.

A tile of 16 to 64 nearest neighbours is the usual case; the small C = g² groups of the PtychoPINN papers are the same
thing with a smaller size, drawn at random from a few more neighbours.
"""

from __future__ import annotations

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
    patterns = len(positions_px)
    wanted = size - 1 if neighbours is None else neighbours
    if size > patterns:
        raise GroupingError(f"a group of {size} patterns was asked for; the scan has {patterns}")
    if wanted < size - 1:
        raise GroupingError(f"{wanted} neighbours were asked for; a group of {size} needs at least {size - 1}")
    reach = min(wanted + 1, patterns)
    found = np.asarray(cKDTree(positions_px).query(positions_px, k=reach)[1], np.int64).reshape(patterns, reach)
    # of patterns at the same place the tree may name another one first
    others = _without_self(found)
    if others.shape[1] > size - 1:
        rng = np.random.default_rng(seed)
        chosen = np.sort(np.argsort(rng.random(others.shape), axis=1)[:, : size - 1], axis=1)
        others = np.take_along_axis(others, chosen, axis=1)
    return np.concatenate([np.arange(patterns)[:, None], others], axis=1)


def _without_self(found: NDArray[np.int64]) -> NDArray[np.int64]:
    own = found == np.arange(len(found))[:, None]
    own[~own.any(axis=1), -1] = True
    return found[~own].reshape(len(found), -1)
