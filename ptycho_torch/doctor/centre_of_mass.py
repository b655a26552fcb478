"""Which way the patterns are turned, from their centres of mass alone.

A pattern's centre of mass follows the gradient of the object's phase, averaged over the probe, which has no curl. For
patterns that are transposed, flipped or turned by 90° against the positions it has one. Turned by 180°, the centre
changes its sign, which is the gradient of the opposite phase: no test of this kind can tell that (M. Savitzky et al.,
Ultramicroscopy 219, 113102 (2020), used curl and divergence to calibrate the rotation of 4D-STEM data).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ptycho_torch.data.scan import Scan
from ptycho_torch.doctor.change import CLASSES, to_matrix
from ptycho_torch.doctor.trial import choose_middle

_NEIGHBOURS = 8
_FEWEST, _MOST = 16, 2000
_BATCH = 64
# curl of the best class relative to that of the next one
_CLEAR = 0.5
_ORIENTATIONS = ((False, False, False), *CLASSES)


@dataclass(frozen=True, eq=False)
class CurlTest:
    """How much the centres of mass rotate in each class of orientations.

    Attributes:
        curls: share of the gradient's square that is curl, by orientation (transpose, flip rows, flip columns).
    """

    curls: dict[tuple[bool, bool, bool], float]

    @property
    def best(self) -> tuple[bool, bool, bool]:
        """The orientation with the least curl."""
        return min(self.curls, key=self.curls.__getitem__)

    @property
    def is_clear(self) -> bool:
        """Whether the orientation with the least curl has far less of it than the others."""
        least, second = sorted(self.curls.values())[:2]
        return least < _CLEAR * second


def measure_curl(scan: Scan) -> CurlTest | None:
    """Measure the curl of the centres of mass over the middle of a scan; None if it has too few positions."""
    if len(scan) > _MOST:
        scan = scan.take(choose_middle(scan, _MOST))
    positions, first = np.unique(scan.positions_px, axis=0, return_index=True)
    if len(positions) < _FEWEST:
        return None
    gradients = _measure_gradients(positions, measure_centres(scan)[first])
    if gradients is None:
        return None
    curls = {}
    for orientation in _ORIENTATIONS:
        turned = to_matrix(*orientation) @ gradients
        curl = np.square(turned[:, 0, 1] - turned[:, 1, 0]) / 2
        curls[orientation] = float(curl.sum() / max(float(np.square(turned).sum()), 1e-300))
    return CurlTest(curls)


def measure_centres(scan: Scan) -> NDArray[np.float64]:
    """Centre of mass (pattern, 2) of each pattern in detector pixels, relative to the middle [h//2, w//2]."""
    offset = np.arange(scan.patch_px) - scan.patch_px // 2
    centres = np.zeros((len(scan), 2))
    for start in range(0, len(scan), _BATCH):
        counts = np.where(scan.good_pixels, scan.counts[start : start + _BATCH], 0).astype(np.float64)
        total = np.maximum(counts.sum(axis=(1, 2)), 1e-300)
        centres[start : start + _BATCH, 0] = counts.sum(axis=2) @ offset / total
        centres[start : start + _BATCH, 1] = counts.sum(axis=1) @ offset / total
    return centres


def _measure_gradients(positions: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Gradient (position, centre axis, position axis) around each position, by a plane through its neighbours."""
    _, near = cKDTree(positions).query(positions, k=_NEIGHBOURS + 1)
    offsets = positions[near] - positions[near].mean(axis=1, keepdims=True)
    values = centres[near] - centres[near].mean(axis=1, keepdims=True)
    square = np.einsum("pki,pkj->pij", offsets, offsets)
    spread = np.linalg.eigvalsh(square)
    usable = spread[:, 0] > 0.05 * spread[:, 1]
    if usable.sum() < _FEWEST:
        return None
    product = np.einsum("pki,pkj->pij", offsets[usable], values[usable])
    gradients: NDArray[np.float64] = np.linalg.solve(square[usable], product).swapaxes(1, 2)
    return gradients
