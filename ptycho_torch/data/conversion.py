"""Conversion: how patterns, as they are stored, become photon counts in the conventions of this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import DataSettings
from ptycho_torch.data.conventions import LOGARITHMS, orient, undo_logarithm
from ptycho_torch.data.window import Window


@dataclass(frozen=True, eq=False, kw_only=True)
class Conversion:
    """What is done to the values of every pattern, whichever part of a scan is read.

    Attributes:
        good: (h, w) False on bad pixels, whose values become 0.
        window: the part of the detector that is used.
        settings: orientation and gain.
        units: of the values: `counts`, `amplitude`, `log` or `log10`.
        has_whole_squares: whether the squares of all values are whole, and rounded.
        dark: (h, w) values that the detector records without light.
        flat: (h, w) relative sensitivity of the detector's pixels.
        is_swapped: whether the zero frequency, after the window, lies at pixel [0, 0] and moves to the middle.
        factor: of all counts.
    """

    good: NDArray[np.bool_]
    window: Window
    settings: DataSettings
    units: str = "counts"
    has_whole_squares: bool = False
    dark: NDArray[np.float64] | None = None
    flat: NDArray[np.float64] | None = None
    is_swapped: bool = False
    factor: np.float32 | None = None

    @property
    def good_pixels(self) -> NDArray[np.bool_]:
        """(N, N) False on bad pixels of the counts."""
        return self.turn(self.window.cut_good(self.good))

    @property
    def changes_photons(self) -> bool:
        """Whether a pattern without bad pixels has other photons after the conversion than before."""
        is_plain = self.units == "counts" and self.dark is None and self.flat is None and self.factor is None
        return not (is_plain and self.settings.gain == 1 and self.window.is_whole)

    def correct(self, values: NDArray[Any]) -> NDArray[Any]:
        """Correct stored values (pattern, h, w); noise below zero remains."""
        values = np.where(self.good, values, np.zeros((), values.dtype))
        if self.units == "amplitude":
            values = np.square(values, dtype=np.float64)
            values = np.round(values) if self.has_whole_squares else values
        elif self.units in LOGARITHMS:
            values = undo_logarithm(values, self.units)
        if self.dark is not None:
            values = np.where(self.good, values - self.dark, 0)
        if self.flat is not None:
            values = values / np.where(self.good, self.flat, 1)
        if self.settings.gain != 1:
            values = values / self.settings.gain
        return values

    def finish(self, corrected: NDArray[Any]) -> NDArray[np.float32]:
        """Convert corrected values to counts (pattern, N, N) of the window."""
        if corrected.dtype.kind != "u":
            corrected = np.maximum(corrected, 0)
        counts = self.window.cut(corrected.astype(np.float32))
        counts = counts if self.factor is None else counts * self.factor
        return self.turn(counts)

    def apply(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Convert stored values (pattern, h, w) to counts (pattern, N, N)."""
        return self.finish(self.correct(values))

    def turn(self, images: NDArray[Any]) -> NDArray[Any]:
        """Give images (..., N, N) of the window the orientation of this package."""
        if self.is_swapped:
            images = np.fft.fftshift(images, (-2, -1))
        return orient(images, self.settings)
