"""Where things lie for the client, and where they lie here.

The client calls (N − 1) / 2 the middle of an array, for probes as for objects; here it is N // 2. It tells positions in
pixels of an object array whose size and centre it keeps to itself, and shows what it gets with its middle on that
object's centre, which is the middle of the scan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.canvas import Canvas
from ptycho_torch.formats.ptychodus_product import half_pixel

_WHOLE_WITHIN_PX = 1e-4


@dataclass(frozen=True)
class ClientCanvas:
    """The array that the client expects of a reconstruction: all patches, its middle on the middle of the scan.

    Attributes:
        shape_px: height and width, the size that the client itself gives to the object of such a scan.
        offset_px: what is added to the client's positions to have them as meant here, with this array at (0, 0).
    """

    shape_px: tuple[int, int]
    offset_px: NDArray[np.float64]

    @classmethod
    def of(cls, client_px: NDArray[np.float64], patch_px: int) -> ClientCanvas:
        """The array for a scan with positions (pattern, 2) of the client."""
        low, high = client_px.min(axis=0), client_px.max(axis=0)
        height, width = _array_shape(low, high, patch_px)
        middle = (np.array([height, width]) - 1) / 2
        return cls((height, width), middle - (low + high) / 2 + half_pixel(patch_px))

    def cut(self, canvas: Canvas) -> NDArray[np.complex64]:
        """What a canvas shows on this array; ones where it does not reach."""
        return canvas.cut_window((0.0, 0.0), self.shape_px)


def _array_shape(low: NDArray[np.float64], high: NDArray[np.float64], patch_px: int) -> tuple[int, int]:
    """Height and width of the client's object array.

    Where the scan lies in the middle of that array its size is twice the scan's middle plus one, padding included;
    otherwise it is what the client makes for a scan without padding.
    """
    # positions went through metres: a whole extent must not become a pixel more
    least = np.ceil(np.round(high - low + patch_px, 6)).astype(int)
    told = low + high + 1
    nearest = np.round(told).astype(int)
    centred = (np.abs(told - nearest) < _WHOLE_WITHIN_PX) & (nearest >= least) & (nearest <= least + patch_px)
    height, width = (nearest if centred.all() else least).tolist()
    return height, width
