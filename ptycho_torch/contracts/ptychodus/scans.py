"""Scans of the client, and the array that it expects of a reconstruction.

The client calls (N − 1) / 2 the middle of an array, of probes and objects alike; in this package it is N // 2. The
client's positions are in pixels of an object array whose size and centre it does not send, and it shows the result with
its middle on that object's centre, which is the middle of the scan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config.schema import DataSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.make_scan import make_scan
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError
from ptycho_torch.formats.ptychodus_product import half_pixel

# the client centres its patterns, but does not say whether they are counts or amplitudes
READING = DataSettings(zero_frequency="centre")
_LEAST_PATTERNS = 2
_WHOLE_WITHIN_PX = 1e-4


@dataclass(frozen=True)
class ClientScan:
    """A scan to reconstruct and the array that the client expects: all patches, its middle on the middle of the scan.

    Attributes:
        scan: its positions are those on the array.
        shape_px: height and width of the array, the size that the client itself gives to the object of such a scan.
    """

    scan: Scan
    shape_px: tuple[int, int]

    @classmethod
    def from_arrays(
        cls,
        patterns: NDArray[Any],
        probe: NDArray[Any] | None,
        client_px: NDArray[np.float64],
        stored_as: str = "counts",
    ) -> Self:
        """Make a scan from the client's arrays.

        Args:
            patterns: (pattern, N, N) counts, zero frequency at [N//2, N//2].
            probe: (mode, N, N) probe to compare with the one that training found, or None.
            client_px: (pattern, 2) row and column in pixels of the client's object array.
            stored_as: the meaning of floats that are not whole numbers, `counts` or `amplitude`, as in training.

        Raises:
            DataError: the arrays do not make a scan.
        """
        name, patterns = "the scan", np.asarray(patterns)
        client_px = np.asarray(client_px, np.float64).reshape(-1, 2)
        check_patterns(name, min(len(patterns), len(client_px)))
        if not np.isfinite(client_px).all():
            raise DataError(f"{name}: positions contain NaN or infinite values")
        shape_px, offset_px = place_array(client_px, patterns.shape[-1])
        scan = make_scan(
            name=name,
            stored=patterns,
            positions_px=client_px + offset_px,
            settings=replace(READING, units="counts" if stored_as == "counts" else "auto"),
            probe=None if probe is None else np.asarray(probe),
        )
        return cls(scan, shape_px)

    def cut(self, canvas: Canvas) -> NDArray[np.complex64]:
        """The part of a canvas on the client's array; ones outside the canvas."""
        return canvas.window((0.0, 0.0), self.shape_px)


def place_array(client_px: NDArray[np.float64], patch_px: int) -> tuple[tuple[int, int], NDArray[np.float64]]:
    """The shape of the client's object array for its positions (pattern, 2), and their offset on that array.

    If the scan lies in the middle of the client's array, the size is twice the scan's middle plus one, padding
    included; otherwise it is the size that the client chooses without padding.
    """
    low, high = client_px.min(axis=0), client_px.max(axis=0)
    # positions were converted to metres and back: a whole extent must not become a pixel more
    least = np.ceil(np.round(high - low + patch_px, 6)).astype(int)
    stated = low + high + 1
    nearest = np.round(stated).astype(int)
    centred = (np.abs(stated - nearest) < _WHOLE_WITHIN_PX) & (nearest >= least) & (nearest <= least + patch_px)
    shape = nearest if centred.all() else least
    height, width = shape.tolist()
    return (height, width), (shape - 1) / 2 - (low + high) / 2 + half_pixel(patch_px)


def check_patterns(name: str, patterns: int) -> None:
    """Raise DataError if a scan has too few patterns."""
    if patterns < _LEAST_PATTERNS:
        raise DataError(f"{name}: has {patterns} pattern{'' if patterns == 1 else 's'}; at least two must overlap")
