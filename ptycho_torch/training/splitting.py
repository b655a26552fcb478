"""Groups of a scan for training and for validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.grouping import GroupRule, group_nearest, make_groups


@dataclass(frozen=True, eq=False)
class GroupSplit:
    """Groups for training and for validation.

    Attributes:
        training: (group, size) pattern indices.
        validation: likewise; their patterns are in no training group, unless `shared`.
        shared: the scan was too small to spare any pattern.
    """

    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    shared: bool


def split_groups(positions_px: NDArray[np.float64], rule: GroupRule, validation_share: float, seed: int) -> GroupSplit:
    """Set whole compact groups aside for validation and group the rest by the rule.

    Groups shrink to the scan where it has fewer patterns. There is always at least one validation group, since a
    training run without one could not tell its best checkpoint.
    """
    patterns = len(positions_px)
    size = min(rule.size, patterns)
    compact = group_nearest(positions_px, size)
    rng = np.random.default_rng(seed)
    aside = max(1, round(validation_share * patterns / size))
    validation = compact[rng.permutation(patterns)[:aside]]
    rest = np.setdiff1d(np.arange(patterns), validation)
    if validation_share == 0 or len(rest) < 2 * size or len(rest) < patterns / 2:
        return GroupSplit(make_groups(positions_px, rule, seed), validation, shared=True)
    return GroupSplit(rest[make_groups(positions_px[rest], rule, seed)], validation, shared=False)
