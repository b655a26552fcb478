"""Scan: what was measured and where, checked once and never changed afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.errors import DataError

SMALLEST_PATCH_PX = 16
LARGEST_PHOTONS_PER_PIXEL = 1e12


class ScanSource(Protocol):
    """What a scan was read from, where it has a form of its own for results."""

    def write_result(
        self, folder: Path, canvas: Canvas, probe: NDArray[np.complex64], losses: Sequence[float]
    ) -> dict[str, Path]:
        """Write an object, its (mode, h, w) probe and one loss an epoch; returns the files by what they are."""


@dataclass(frozen=True, eq=False)
class Scan:
    """Diffraction patterns of one sample with the positions they were taken at.

    Attributes:
        counts: photons, (pattern, h, w) float32, not negative, h = w even, zero frequency at [h//2, w//2].
        positions_px: (pattern, 2) float64, (row, column) of the object pixel under patch pixel [h//2, w//2].
        probe: (mode, h, w) complex64 starting probe in any unit, centred at [h//2, w//2]; None where it is unknown.
        good_pixels: (h, w) bool, False where the detector cannot be trusted; bad pixels carry no weight anywhere.
        background: (h, w) float32 mean photons that each pattern holds beside those of the sample; None for none.
        truth: the object that was simulated, where there is one.
        pixel_m: side of an object pixel in metres, where it is known.
        name: how to refer to the scan in logs and figures.
        stored_as: what the patterns were where they came from, `counts` or `amplitude`.
        source: what the patterns came from, where a result can be written in the same form.
    """

    counts: NDArray[np.float32]
    positions_px: NDArray[np.float64]
    probe: NDArray[np.complex64] | None = None
    good_pixels: NDArray[np.bool_] = field(default_factory=lambda: np.ones((0, 0), bool))
    background: NDArray[np.float32] | None = None
    truth: Canvas | None = None
    pixel_m: float | None = None
    name: str = "scan"
    stored_as: str = "counts"
    source: ScanSource | None = None

    def __post_init__(self) -> None:
        """Check every array and make it read-only.

        Raises:
            DataError: an array has an unusable shape, size or value.
        """
        if self.good_pixels.size == 0:
            self._set("good_pixels", np.ones(self.counts.shape[1:], bool))
        self._set("counts", np.asarray(self.counts, np.float32))
        self._set("positions_px", np.asarray(self.positions_px, np.float64))
        if self.probe is not None:
            self._set("probe", np.asarray(self.probe, np.complex64))
        if self.background is not None:
            self._set("background", np.asarray(self.background, np.float32))
        self._check_counts()
        self._check_positions()
        self._check_probe()
        self._check_background()
        if self.truth is not None:
            self.truth.find_patch_corners(self.positions_px, self.patch_px, self.name)
        for array in (self.counts, self.positions_px, self.good_pixels, self.probe, self.background):
            if array is not None:
                array.flags.writeable = False

    def _set(self, name: str, value: NDArray[Any]) -> None:
        object.__setattr__(self, name, value.view() if isinstance(value, np.ndarray) else value)

    def __len__(self) -> int:
        """Number of patterns."""
        return len(self.counts)

    @property
    def patch_px(self) -> int:
        """Side of the patterns, and of the object patches that made them."""
        return self.counts.shape[1]

    @property
    def photons_per_pattern(self) -> float:
        """Mean photons of a pattern on good pixels."""
        return float(self.counts.sum(axis=(1, 2), where=self.good_pixels, dtype=np.float64).mean())

    def require_object(self) -> Canvas:
        """The true object, to learn from.

        Raises:
            DataError: there is none, or it is empty space.
        """
        seen = None if self.truth is None else Frame(self.positions_px, self.patch_px).cut_from(self.truth)
        if self.truth is None or seen is None or (seen == seen[0, 0]).all():
            raise DataError(
                f"{self.name}: there is no object to learn from, objectGuess is missing or empty space; "
                "training with target patterns needs none"
            )
        return self.truth

    def require_probe(self) -> NDArray[np.complex64]:
        """The probe to start from.

        Raises:
            DataError: there is none.
        """
        if self.probe is None:
            raise DataError(f"{self.name}: there is no probe to start from; give one with --probe or in the file")
        return self.probe

    def take(self, patterns: NDArray[np.int64] | slice) -> Scan:
        """The scan of only some of the patterns, in the order given."""
        return replace(self, counts=self.counts[patterns], positions_px=self.positions_px[patterns])

    def _check_counts(self) -> None:
        counts = self.counts
        if counts.ndim != 3 or counts.shape[1] != counts.shape[2]:
            raise DataError(f"{self.name}: patterns have shape {counts.shape}; (pattern, N, N) is needed")
        if len(counts) == 0:
            raise DataError(f"{self.name}: the scan is empty; at least one pattern is needed")
        if self.patch_px < SMALLEST_PATCH_PX or self.patch_px % 2:
            raise DataError(
                f"{self.name}: patterns are {self.patch_px} px wide; an even number from {SMALLEST_PATCH_PX} is needed"
            )
        if self.good_pixels.shape != counts.shape[1:]:
            raise DataError(f"{self.name}: the mask has shape {self.good_pixels.shape}, patterns {counts.shape[1:]}")
        lowest, highest = float(counts.min()), float(counts.max())
        if not np.isfinite([lowest, highest]).all():
            bad = int((~np.isfinite(counts)).any(axis=(1, 2)).sum())
            raise DataError(f"{self.name}: {bad} patterns hold NaN or infinite values; mask or drop them")
        if lowest < 0:
            raise DataError(f"{self.name}: counts go down to {lowest:g}; photons cannot be negative")
        if highest > LARGEST_PHOTONS_PER_PIXEL:
            raise DataError(
                f"{self.name}: counts go up to {highest:g}; at most {LARGEST_PHOTONS_PER_PIXEL:g} make sense"
            )
        if self.photons_per_pattern == 0:
            raise DataError(f"{self.name}: there is not one photon on a good pixel")

    def _check_positions(self) -> None:
        if self.positions_px.shape != (len(self), 2):
            raise DataError(
                f"{self.name}: positions have shape {self.positions_px.shape}; ({len(self)}, 2) is needed, "
                "one (row, column) for each pattern"
            )
        if not np.isfinite(self.positions_px).all():
            raise DataError(f"{self.name}: positions hold NaN or infinite values")

    def _check_probe(self) -> None:
        if self.probe is None:
            return
        if self.probe.ndim != 3 or self.probe.shape[1:] != self.counts.shape[1:]:
            raise DataError(
                f"{self.name}: the probe has shape {self.probe.shape}; "
                f"(mode, {self.patch_px}, {self.patch_px}) is needed"
            )
        if not np.isfinite(self.probe).all() or not np.abs(self.probe).any():
            raise DataError(f"{self.name}: the probe is empty or holds NaN or infinite values")

    def _check_background(self) -> None:
        if self.background is None:
            return
        if self.background.shape != self.counts.shape[1:]:
            raise DataError(
                f"{self.name}: the background has shape {self.background.shape}; {self.counts.shape[1:]} is needed"
            )
        if not (np.isfinite(self.background) & (self.background >= 0)).all():
            raise DataError(f"{self.name}: the background holds negative, NaN or infinite values")
