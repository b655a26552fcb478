"""Maps of a second detector's values, registered with the object.

The values of a position come from where its probe shines, F(r) = Σ_j f_j I(r − r_j) / Σ_j I(r − r_j): the mean of the
values at all positions whose probe reaches a pixel, weighted by the light that they send there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.canvas import Frame
from ptycho_torch.data.scan import Scan


def map_fluorescence(scan: Scan, probe: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Map the fluorescence of a scan, (channel, height, width), on the canvas of its object; NaN where no light is.

    Args:
        scan: a scan with values of fluorescence.
        probe: (mode, h, w) probe, in any unit.
    """
    assert scan.fluorescence is not None
    frame = Frame(scan.positions_px, scan.patch_px)
    light = (np.abs(probe) ** 2).sum(axis=0)
    total = np.zeros(frame.shape_px)
    weighted = np.zeros((scan.fluorescence.shape[1], *frame.shape_px))
    for (row, column), values in zip(frame.corners_px.tolist(), scan.fluorescence, strict=True):
        area = (slice(row, row + scan.patch_px), slice(column, column + scan.patch_px))
        total[area] += light
        weighted[(slice(None), *area)] += values[:, None, None] * light
    return np.divide(weighted, total, out=np.full_like(weighted, np.nan), where=total > 0).astype(np.float32)
