"""Window: the part of a detector that a scan uses, cropped or padded about the direct beam to a square, and binned."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import DataSettings
from ptycho_torch.data.conventions import SMALLEST_PATCH_PX
from ptycho_torch.errors import ConfigError, ScanFileError

T = TypeVar("T", bound=np.generic)

_log = logging.getLogger(__name__)

_NOTICEABLE_SHARE = 0.02


@dataclass(frozen=True)
class Window:
    """A square about the direct beam; what lies beyond the detector, or beyond the cropped part, is unmeasured.

    Attributes:
        stored: rows and columns of the patterns as they are stored.
        centre: row and column of the zero frequency there.
        inner_px: side of the part that is used.
        side_px: side of the window, in pixels of the detector.
        bin: detector pixels along each axis that are added up to one.
        is_corner: whether the zero frequency is stored at pixel [0, 0], quadrants swapped.
    """

    stored: tuple[int, int]
    centre: tuple[int, int]
    inner_px: int
    side_px: int
    bin: int
    is_corner: bool = False

    @classmethod
    def choose(
        cls, stored: tuple[int, int], centre_px: tuple[float, float] | None, settings: DataSettings, name: str
    ) -> Self:
        """Choose the window of patterns of a size; without settings all of a square is used.

        Other shapes are cropped to the shorter side, and a side of an odd number of pixels is padded by one.

        Args:
            stored: rows and columns of the patterns.
            centre_px: the direct beam, if it lies elsewhere than in the middle, [h//2, w//2].
            settings: place of the direct beam, side of the part to use, padding, binning.
            name: name of the scan in messages.

        Raises:
            ScanFileError: the direct beam lies outside of the patterns.
            ConfigError: the sizes in the settings do not fit.
        """
        middle = (stored[0] // 2, stored[1] // 2)
        asked = (settings.centre_row_px, settings.centre_column_px)
        row, column = (
            round(given if given is not None else found)
            for given, found in zip(asked, centre_px or middle, strict=True)
        )
        if not (0 <= row < stored[0] and 0 <= column < stored[1]):
            raise ScanFileError(
                f"{name}: the direct beam lies at row {row}, column {column}, outside of patterns of "
                f"{stored[0]} × {stored[1]} px; specify it by --centre_row_px and --centre_column_px"
            )
        factor = settings.bin
        shorter = min(stored)
        if shorter < SMALLEST_PATCH_PX:
            raise ScanFileError(
                f"{name}: patterns have {stored[0]} × {stored[1]} px; they must have at least {SMALLEST_PATCH_PX}"
            )
        inner = shorter if settings.crop_px is None else settings.crop_px
        if inner > max(stored):
            raise ConfigError(f"DataSettings.crop_px is {inner}; patterns have {stored[0]} × {stored[1]} px")
        side = inner if settings.pad_px is None else settings.pad_px
        if side < inner:
            raise ConfigError(f"DataSettings.pad_px is {side}; it must be at least the {inner} px that are used")
        if settings.pad_px is None and settings.crop_px is None:
            side += -side % (2 * factor)
        if side % (2 * factor) or side // factor < SMALLEST_PATCH_PX:
            raise ConfigError(
                f"{name}: patterns would be {side / factor:g} px wide; DataSettings.crop_px or DataSettings.pad_px "
                f"divided by DataSettings.bin must be even and at least {SMALLEST_PATCH_PX}"
            )
        window = cls(stored, (row, column), inner, side, factor)
        if not window.is_whole:
            _log.info(
                "%s: patterns of %d × %d px are used from %d px about row %d, column %d%s, as %d × %d px",
                *(name, *stored, inner, row, column, f", {factor} × {factor} added up" if factor > 1 else ""),
                *(window.patch_px, window.patch_px),
            )
        return window

    @property
    def patch_px(self) -> int:
        """Side of the patterns that result."""
        return self.side_px // self.bin

    @property
    def is_whole(self) -> bool:
        """Whether patterns stay as they are."""
        side = self.side_px
        return (
            self.stored == (side, side)
            and self.centre == (side // 2, side // 2)
            and self.inner_px == side == self.patch_px
        )

    def cut(self, images: NDArray[T], fill: float = 0) -> NDArray[T]:
        """Cut the window out of images (..., row, column), `fill` where nothing was measured; sums if binned."""
        if self.is_whole:
            return images
        if self.is_corner:
            images = np.fft.fftshift(images, (-2, -1))
        result = np.full((*images.shape[:-2], self.side_px, self.side_px), fill, images.dtype)
        to: list[slice] = []
        of: list[slice] = []
        for length, centre in zip(self.stored, self.centre, strict=True):
            low, high = max(0, centre - self.inner_px // 2), min(length, centre - self.inner_px // 2 + self.inner_px)
            start = centre - self.side_px // 2
            low, high = max(low, start), min(high, start + self.side_px)
            of.append(slice(low, high))
            to.append(slice(low - start, high - start))
        result[..., to[0], to[1]] = images[..., of[0], of[1]]
        if self.bin == 1:
            return result
        blocks = result.reshape(*images.shape[:-2], self.patch_px, self.bin, self.patch_px, self.bin)
        return blocks.sum(axis=(-3, -1), dtype=images.dtype)

    def cut_good(self, good: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Cut the window out of a mask; a binned pixel is good if all of its parts are."""
        if self.is_whole:
            return good
        return self.cut((~good).astype(np.uint16), fill=1) == 0

    def convert_probe(self, probe: NDArray[Any], name: str) -> NDArray[Any]:
        """Convert a probe (..., h, w) that belongs to the stored patterns to one that belongs to the window.

        A wider window makes object pixels smaller in the same field of view; binning keeps them and narrows the field
        of view. The direct beam then lies (bin − 1) / 2 detector pixels before the middle of its pixel, which is a
        phase ramp of the probe.
        """
        if self.is_whole or probe.shape[-2:] != self.stored or probe.dtype.kind not in "iufc":
            return probe
        if self.stored != (self.side_px, self.side_px):
            rows, columns = (_make_resampling(length, self.side_px) for length in self.stored)
            probe = rows @ probe @ columns.T
        if self.bin == 1:
            return probe
        offset = np.arange(self.side_px) - self.side_px // 2
        ramp = np.exp(-1j * np.pi * (self.bin - 1) * offset / self.side_px)
        low = self.side_px // 2 - self.patch_px // 2
        kept = (probe * ramp[:, None] * ramp)[..., low : low + self.patch_px, low : low + self.patch_px]
        lost = 1 - float((np.abs(kept) ** 2).sum() / max(float((np.abs(probe) ** 2).sum()), 1e-300))
        if lost > _NOTICEABLE_SHARE:
            _log.warning("%s: %.0f %% of the probe lie outside of the field of view after binning", name, 100 * lost)
        return kept


def _make_resampling(length: int, wanted: int) -> NDArray[np.complex128]:
    """The matrix (wanted, length) that resamples a periodic function by its frequencies about pixel n//2."""
    frequencies = np.arange(min(length, wanted)) - min(length, wanted) // 2
    of, to = ((np.arange(number) - number // 2) / number for number in (length, wanted))
    return np.exp(2j * np.pi * np.outer(to, frequencies)) @ np.exp(-2j * np.pi * np.outer(frequencies, of)) / length
