"""Phases of overlapping patches found from all overlaps at once, in float64."""

from __future__ import annotations

import numpy as np
from numpy_physics import Real, Wave, Whole, scattered


def synchronised(patches: Wave, light: Real, corners: Whole, shape: tuple[int, int]) -> Wave:
    """The patches turned so that their light-weighted sum is as bright as it can be made.

    Each patch alone on a canvas is a row of a matrix M, the overlaps are M M^H, and the phases of the strongest
    eigenvector, improved one patch after the other, are the turns.
    """
    alone = np.array(
        [
            scattered(patch[None] * light, corner[None], shape).ravel()
            for patch, corner in zip(patches, corners, strict=True)
        ]
    )
    overlaps = alone.conj() @ alone.T
    np.fill_diagonal(overlaps, 0)
    degree = np.abs(overlaps).sum(axis=1) ** -0.5
    turns = np.exp(1j * np.angle(np.linalg.eigh(overlaps * degree[:, None] * degree)[1][:, -1]))
    for _ in range(300):
        for number in range(len(turns)):
            turns[number] = np.exp(1j * np.angle(overlaps[number] @ turns))
    result: Wave = patches * turns[:, None, None]
    return result
