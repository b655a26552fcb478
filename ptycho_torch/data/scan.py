"""Scan: patterns, positions, probe and what else is known of a measurement, checked once and then read-only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.conventions import SMALLEST_PATCH_PX
from ptycho_torch.data.geometry import Geometry
from ptycho_torch.data.stored_counts import StoredCounts, find_extremes, measure_mean, sum_photons, take_counts
from ptycho_torch.errors import DataError

if TYPE_CHECKING:
    from ptycho_torch.pictures.figure import Picture

LARGEST_PHOTONS_PER_PIXEL = 1e12
_TYPES = {
    "counts": np.float32,
    "positions_px": np.float64,
    "probe": np.complex64,
    "good_pixels": np.bool_,
    "background": np.float32,
    "fluorescence": np.float32,
}


class ScanSource(Protocol):
    """What a scan was read from, if it has its own form of results."""

    def write_result(
        self,
        folder: Path,
        canvas: Canvas,
        probe: NDArray[np.complex64],
        losses: Sequence[float],
        *,
        given_px: NDArray[np.float64],
        refined_px: NDArray[np.float64],
    ) -> dict[str, Path]:
        """Write an object, its probe (mode, h, w), one loss per epoch and the positions (pattern, 2) after refinement.

        `given_px` are the positions that the scan was read with. Returns the paths by their contents.
        """


@dataclass(frozen=True, eq=False)
class Scan:
    """Diffraction patterns of one sample with the positions at which they were taken.

    Attributes:
        counts: photons, (pattern, h, w) float32, not negative, h = w even, zero frequency at [h//2, w//2]. Those of a
            large scan stay in its file: patterns are read when they are indexed, and by `numpy.asarray`.
        positions_px: (pattern, 2) float64, (row, column) of the object pixel under patch pixel [h//2, w//2].
        probe: (mode, h, w) complex64 initial guess of the probe in any unit, centred at [h//2, w//2]; None if unknown.
        good_pixels: (h, w) bool, False on bad pixels of the detector, whose values are not used.
        background: (h, w) float32 mean photons per pattern that do not come from the sample; None if there are none.
        truth: the true object, or None.
        pixel_m: side of an object pixel in metres, or None if unknown.
        name: name of the scan in logs and figures.
        stored_as: what the patterns were converted from, `counts` or `amplitude`.
        source: what the scan was read from, if results can be written in the same form.
        geometry: wavelength, distance and size of a detector pixel, as far as they are known.
        numbers: (pattern,) number of each pattern in the file, from 0; None if they were not read from one.
        fluorescence: (pattern, channel) float32 values of a second detector at each position; None if there are none.
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
    geometry: Geometry = field(default_factory=Geometry)
    numbers: NDArray[np.int64] | None = None
    fluorescence: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Make every array read-only; raise DataError if one has an unusable shape, size or value."""
        if self.good_pixels.size == 0:
            object.__setattr__(self, "good_pixels", np.ones(self.counts.shape[1:], bool))
        for name, kind in _TYPES.items():
            if getattr(self, name) is not None:
                if isinstance(getattr(self, name), StoredCounts):
                    continue
                # a view, so that the caller's array stays writable
                array: NDArray[Any] = np.asarray(getattr(self, name), kind).view()
                array.flags.writeable = False
                object.__setattr__(self, name, array)
        check_shapes(self.name, self.counts, self.positions_px, self.background, self.good_pixels)
        self._check_values()
        self._check_fluorescence()
        self._check_probe()
        if self.truth is not None:
            self.truth.find_patch_corners(self.positions_px, self.patch_px, self.name)

    def __len__(self) -> int:
        """Number of patterns."""
        return len(self.counts)

    @property
    def patch_px(self) -> int:
        """Side of the patterns and of the object patches under them."""
        return self.counts.shape[1]

    @cached_property
    def photons_per_pattern(self) -> float:
        """Dose: mean photons per pattern on good pixels."""
        return float(sum_photons(self.counts, self.good_pixels).mean())

    @property
    def sample_photons_per_pattern(self) -> float:
        """Mean photons per pattern on good pixels, without those of the background."""
        if self.background is None:
            return self.photons_per_pattern
        return self.photons_per_pattern - float(self.background.sum(where=self.good_pixels, dtype=np.float64))

    def plot(self) -> Picture:
        """Draw the mean pattern, the positions and the probe."""
        # not at the top: matplotlib takes longer to load than a scan to read
        from ptycho_torch.pictures.scan_figure import draw_scan  # noqa: PLC0415

        mean = np.where(self.good_pixels, measure_mean(self.counts), np.nan)
        return draw_scan(mean, self.positions_px, self.probe, self.pixel_m, self.name)

    def _repr_html_(self) -> str:
        """Numbers and picture, as notebooks show them."""
        from ptycho_torch.pictures.figure import embed_figure  # noqa: PLC0415 - as in plot
        from ptycho_torch.pictures.table import make_table  # noqa: PLC0415 - as in plot

        rows, columns = np.ptp(self.positions_px, axis=0).tolist()
        described = {
            "scan": self.name,
            "patterns": f"{len(self)} of {self.patch_px} × {self.patch_px} px",
            "photons per pattern": f"{self.photons_per_pattern:.4g}",
            "bad pixels": f"{np.count_nonzero(~self.good_pixels)}",
            "positions": f"{rows:.4g} rows × {columns:.4g} columns",
            "object pixel": f"{self.pixel_m * 1e9:.4g} nm" if self.pixel_m is not None else "unknown",
            "probe modes": f"{0 if self.probe is None else len(self.probe)}",
            "true object": "no" if self.truth is None else "yes",
        }
        return make_table(described.items()) + embed_figure(
            self.plot(), f"mean pattern, positions, probe of {self.name}"
        )

    def require_object(self) -> Canvas:
        """Return the true object for a training.

        Raises:
            DataError: the scan has no true object, or it is constant.
        """
        if self.truth is None or Frame(self.positions_px, self.patch_px).is_uniform(self.truth):
            raise DataError(
                f"{self.name}: the scan has no object to train on, objectGuess is missing or constant; "
                "train with target patterns instead"
            )
        return self.truth

    def require_probe(self) -> NDArray[np.complex64]:
        """Return the initial guess of the probe.

        Raises:
            DataError: the scan has no probe.
        """
        if self.probe is None:
            raise DataError(f"{self.name}: there is no probe; specify one with --probe or in the file")
        return self.probe

    def take(self, patterns: NDArray[np.int64] | slice) -> Scan:
        """Take some of the patterns, in the given order, with their positions."""
        numbers = None if self.numbers is None else self.numbers[patterns]
        counts = take_counts(self.counts, patterns)
        fluorescence = None if self.fluorescence is None else self.fluorescence[patterns]
        return replace(
            self,
            counts=counts,
            positions_px=self.positions_px[patterns],
            numbers=numbers,
            fluorescence=fluorescence,
        )

    def _check_values(self) -> None:
        counts = self.counts
        if len(counts) == 0:
            raise DataError(f"{self.name}: the scan is empty; it must have at least one pattern")
        if self.patch_px < SMALLEST_PATCH_PX or self.patch_px % 2:
            raise DataError(
                f"{self.name}: patterns are {self.patch_px} px wide; the width must be even and at least "
                f"{SMALLEST_PATCH_PX} px"
            )
        lowest, highest = find_extremes(counts)
        if not np.isfinite([lowest, highest]).all():
            bad = int((~np.isfinite(counts)).any(axis=(1, 2)).sum())
            raise DataError(f"{self.name}: {bad} patterns contain NaN or infinite values; mask or remove them")
        if lowest < 0:
            raise DataError(f"{self.name}: the lowest count is {lowest:g}; counts cannot be negative")
        if highest > LARGEST_PHOTONS_PER_PIXEL:
            raise DataError(
                f"{self.name}: the highest count is {highest:g}; the limit is {LARGEST_PHOTONS_PER_PIXEL:g}"
            )
        if self.photons_per_pattern == 0:
            raise DataError(f"{self.name}: there are no photons on good pixels")
        if not np.isfinite(self.positions_px).all():
            raise DataError(f"{self.name}: positions contain NaN or infinite values")
        if self.background is not None and not (np.isfinite(self.background) & (self.background >= 0)).all():
            raise DataError(f"{self.name}: the background contains negative, NaN or infinite values")
        if self.sample_photons_per_pattern <= 0:
            raise DataError(f"{self.name}: the background has at least as many photons as the patterns")

    def _check_fluorescence(self) -> None:
        values = self.fluorescence
        if values is not None and (values.ndim != 2 or len(values) != len(self) or not np.isfinite(values).all()):
            raise DataError(
                f"{self.name}: fluorescence has shape {values.shape}, or NaN or infinite values; it must be finite "
                f"({len(self)}, channel)"
            )

    def _check_probe(self) -> None:
        if self.probe is None:
            return
        if self.probe.ndim != 3 or self.probe.shape[1:] != self.counts.shape[1:]:
            raise DataError(
                f"{self.name}: the probe has shape {self.probe.shape}; "
                f"it must have shape (mode, {self.patch_px}, {self.patch_px})"
            )
        if not np.isfinite(self.probe).all() or not np.abs(self.probe).any():
            raise DataError(f"{self.name}: the probe is zero or contains NaN or infinite values")


def check_shapes(
    name: str,
    patterns: NDArray[Any],
    positions_px: NDArray[Any],
    background: NDArray[Any] | None,
    mask: NDArray[Any] | None = None,
    error: type[DataError] = DataError,
) -> None:
    """Raise an error unless the shapes are (pattern, N, N), (pattern, 2) and (N, N)."""
    if patterns.ndim != 3 or patterns.shape[1] != patterns.shape[2]:
        raise error(f"{name}: patterns have shape {patterns.shape}; they must have shape (pattern, N, N)")
    if positions_px.shape != (len(patterns), 2):
        raise error(
            f"{name}: positions have shape {positions_px.shape}; they must have shape ({len(patterns)}, 2), "
            "one (row, column) per pattern"
        )
    for image, array in (("background", background), ("mask", mask)):
        if array is not None and array.shape != patterns.shape[1:]:
            raise error(f"{name}: the {image} has shape {array.shape}, the patterns {patterns.shape[1:]}")
