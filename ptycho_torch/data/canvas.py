"""Canvas: a complex object with its origin, and Frame: the integer geometry of a scan on a canvas."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.errors import DataError

LARGEST_CANVAS_PX = 2**29


@dataclass(frozen=True, eq=False)
class Canvas:
    """A complex object and its origin in the coordinates of a scan.

    Attributes:
        pixels: (height, width) complex64 transmission.
        origin_px: position (row, column) of pixel [0, 0] in the scan's coordinates.
        pixel_m: side of a pixel in metres, or None if unknown.
    """

    pixels: NDArray[np.complex64]
    origin_px: tuple[float, float] = (0.0, 0.0)
    pixel_m: float | None = None

    def __post_init__(self) -> None:
        """Raise DataError unless the pixels are a finite two-dimensional array."""
        pixels = np.asarray(self.pixels, np.complex64)
        if pixels.ndim != 2 or pixels.size == 0 or not np.isfinite(pixels).all():
            raise DataError(f"the object has shape {pixels.shape}; it must be finite and two-dimensional")
        object.__setattr__(self, "pixels", pixels)

    def has_patches(self, positions_px: NDArray[np.float64], patch_px: int) -> NDArray[np.bool_]:
        """Which of the patches at positions (position, 2) lie on this canvas, to the nearest pixel."""
        corners = self._round_corners(positions_px, patch_px)
        return np.all((corners >= 0) & (corners + patch_px <= self.pixels.shape), axis=1)

    def cut_window(self, origin_px: tuple[float, float], shape_px: tuple[int, int]) -> NDArray[np.complex64]:
        """Cut out the part that starts at a position, to the nearest pixel, filled with ones outside this canvas."""
        start = np.round(np.subtract(origin_px, self.origin_px)).astype(int)
        result = np.ones(shape_px, np.complex64)
        low = np.maximum(start, 0)
        high = np.minimum(start + shape_px, self.pixels.shape)
        if (high > low).all():
            to = low - start
            result[to[0] : to[0] + high[0] - low[0], to[1] : to[1] + high[1] - low[1]] = self.pixels[
                low[0] : high[0], low[1] : high[1]
            ]
        return result

    def find_patch_corners(self, positions_px: NDArray[np.float64], patch_px: int, name: str) -> NDArray[np.int64]:
        """Find the pixel (row, column) under pixel [0, 0] of the patch at each position, (pattern, 2).

        Raises:
            DataError: a patch extends beyond the canvas; `name` is that of the scan, for the message.
        """
        outside = ~self.has_patches(positions_px, patch_px)
        if outside.any():
            first = int(np.flatnonzero(outside)[0])
            raise DataError(
                f"{name}: {int(outside.sum())} positions lie outside the object of shape {self.pixels.shape}, "
                f"the first is pattern {first} at {np.round(positions_px[first], 2).tolist()}"
            )
        return self._round_corners(positions_px, patch_px).astype(np.int64)

    def _round_corners(self, positions_px: NDArray[np.float64], patch_px: int) -> NDArray[np.float64]:
        return np.round(positions_px - self.origin_px) - patch_px // 2


@dataclass(frozen=True, eq=False)
class Frame:
    """The position of each pattern of a scan on the smallest canvas that contains all patches.

    A position is r = c + δ with integer c and |δ| ≤ ½: the patch is cut out at c, and the probe is shifted by δ.

    Attributes:
        positions_px: (pattern, 2) float64 positions (row, column).
        patch_px: side of the patches.
        margin_px: further pixels on each side of the canvas, for positions that may move.
    """

    positions_px: NDArray[np.float64]
    patch_px: int
    margin_px: int = 0

    def __post_init__(self) -> None:
        """Raise DataError if the canvas would exceed the largest size."""
        height, width = self.shape_px
        if height * width > LARGEST_CANVAS_PX:
            raise DataError(
                f"positions span {height} × {width} px; check their unit, the limit is {LARGEST_CANVAS_PX} px²"
            )

    @cached_property
    def centres_px(self) -> NDArray[np.int64]:
        """Integer part c of each position."""
        return np.round(self.positions_px).astype(np.int64)

    @cached_property
    def origin_px(self) -> tuple[float, float]:
        """Position (row, column) of canvas pixel [0, 0]."""
        row, column = (self.centres_px.min(axis=0) - self.patch_px // 2 - self.margin_px).astype(float).tolist()
        return row, column

    @cached_property
    def shape_px(self) -> tuple[int, int]:
        """Height and width of the canvas."""
        height, width = (np.ptp(self.centres_px, axis=0) + self.patch_px + 2 * self.margin_px).tolist()
        return height, width

    def cut_from(self, canvas: Canvas) -> NDArray[np.complex64]:
        """Cut the area of all patches out of another canvas."""
        return canvas.cut_window(self.origin_px, self.shape_px)

    def is_uniform(self, canvas: Canvas) -> bool:
        """Whether another canvas has one and the same value in the area of all patches."""
        area = self.cut_from(canvas)
        return bool((area == area[0, 0]).all())

    @cached_property
    def corners_px(self) -> NDArray[np.int64]:
        """Canvas pixel (row, column) under pixel [0, 0] of each patch."""
        return self.centres_px - self.centres_px.min(axis=0) + self.margin_px

    @cached_property
    def shifts_px(self) -> NDArray[np.float32]:
        """Sub-pixel part δ of each position."""
        return (self.positions_px - self.centres_px).astype(np.float32)
