"""Survey: one reading of stored patterns that finds unusable pixels, lost frames and the meaning of the values."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.conventions import are_whole_squares
from ptycho_torch.data.recording import PatternStack
from ptycho_torch.errors import ScanFileError

_log = logging.getLogger(__name__)

_LOST_SHARE = 0.9
_MANY_SHARE = 0.25
_MOST_MARKS = 3
_MOST_NUMBERS = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class Survey:
    """What a reading of all patterns has shown.

    Attributes:
        kept: (pattern,) numbers of the patterns that are usable.
        bad: (h, w) True where a usable pattern has a value that no photons can cause.
        largest: largest value on other pixels.
        is_whole: whether all values on other pixels are whole numbers.
        has_whole_squares: (h, w) whether the squares of all values of a pixel are whole numbers.
        sums: (kept pattern,) sum of the values on other pixels.
        has_noise_below_zero: whether values vary around zero, as after subtraction of dark frames.
        total: (h, w) sum of the values over the usable patterns.
        total_squares: likewise of their squares; zero unless they were asked for, or values are floats.
    """

    kept: NDArray[np.int64]
    bad: NDArray[np.bool_]
    largest: float
    is_whole: bool
    has_whole_squares: NDArray[np.bool_]
    sums: NDArray[np.float64]
    has_noise_below_zero: bool
    total: NDArray[np.float64]
    total_squares: NDArray[np.float64]


class _Tally:
    """Running sums over the parts of a stack."""

    def __init__(
        self, stack: PatternStack, masked: NDArray[np.bool_], saturation: float | None, *, squared: bool
    ) -> None:
        self.masked, self.saturation = masked, saturation
        self.is_integer = stack.dtype.kind in "iu"
        self.full = int(np.iinfo(stack.dtype).max) if self.is_integer else None
        self.limit = min(limit for limit in (self.full, saturation, np.inf) if limit is not None)
        self.squared, self.has_mask = squared or not self.is_integer, bool(masked.any())
        shape = stack.frame
        self.not_finite, self.saturated, self.negative = (np.zeros(shape, np.int64) for _ in range(3))
        self.total, self.total_squares = np.zeros(shape), np.zeros(shape)
        self.marks: set[float] = set()
        self.is_kept, self.sums = np.zeros(len(stack), bool), np.zeros(len(stack))
        self.largest, self.is_whole = 0.0, True
        self.has_whole_squares = np.ones(shape, bool)

    def add(self, part: slice, values: NDArray[Any]) -> None:
        """Add patterns (pattern, h, w) with these numbers."""
        if self.is_integer:
            measured = np.where(self.masked, np.zeros((), values.dtype), values) if self.has_mask else values
            largest = float(measured.max(initial=0))
            if (values.dtype.kind == "u" or measured.min() >= 0) and largest < self.limit:
                self.is_kept[part] = True
                self._add_usable(part, measured, largest)
                return
        self._add_doubtful(part, values)

    def _add_usable(self, part: slice, values: NDArray[Any], largest: float) -> None:
        """Add patterns of which every value can be used, or is zero."""
        self.largest = max(self.largest, largest)
        self.is_whole &= self.is_integer or bool((values == np.round(values)).all())
        over_patterns, over_pixels = _add_up(values, largest)
        self.total += over_patterns
        self.sums[part][self.is_kept[part]] = over_pixels
        if self.squared:
            squares = np.square(values, dtype=np.float64)
            self.total_squares += squares.sum(axis=0)
            if not self.is_integer:
                self.has_whole_squares &= are_whole_squares(squares).all(axis=0)

    def _add_doubtful(self, part: slice, values: NDArray[Any]) -> None:
        finite = np.ones(values.shape, bool) if self.is_integer else np.isfinite(values)
        saturated = np.zeros(values.shape, bool) if self.full is None else values == self.full
        if self.saturation is not None:
            saturated |= values >= self.saturation
        unusable = ~finite | saturated
        if self.is_integer and values.dtype.kind == "i":
            unusable |= values < 0
        # known gaps are no part of a pattern
        measured = max(int(np.count_nonzero(~self.masked)), 1)
        is_kept = np.count_nonzero(unusable & ~self.masked, axis=(1, 2)) <= _LOST_SHARE * measured
        self.is_kept[part] = is_kept
        values, finite, saturated = values[is_kept], finite[is_kept], saturated[is_kept]
        negative = (values < 0) & finite & ~self.masked
        if len(self.marks) <= _MOST_MARKS and negative.any():
            self.marks |= set(np.unique(values[negative])[: _MOST_MARKS + 1].astype(float).tolist())
        self.not_finite += (~finite).sum(axis=0)
        self.saturated += saturated.sum(axis=0)
        self.negative += negative.sum(axis=0)
        usable = np.where(finite & ~saturated & ~negative & ~self.masked, values, np.zeros((), values.dtype))
        self._add_usable(part, usable, float(usable.max(initial=0)))


def _add_up(values: NDArray[Any], largest: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Exact sums of patterns (pattern, h, w) without negative values: of all (h, w) and of each (pattern,)."""
    if values.dtype.kind not in "iu":
        return values.sum(axis=0, dtype=np.float64), values.sum(axis=(1, 2), dtype=np.float64)
    patterns, height, columns = values.shape
    if largest * max(patterns, columns) < 2**24:
        # float32 contains whole numbers up to here, and products with ones are several times faster than sums
        exact = values.astype(np.float32)
        rows = exact @ np.ones(columns, np.float32)
        over_patterns = np.ones(patterns, np.float32) @ exact.reshape(patterns, height * columns)
        return over_patterns.reshape(height, columns), rows.sum(axis=1, dtype=np.float64)
    wide = np.int64 if values.dtype.kind == "i" else np.uint64
    return values.sum(axis=0, dtype=wide), values.sum(axis=(1, 2), dtype=wide)


def survey(
    stack: PatternStack, masked: NDArray[np.bool_], saturation: float | None, name: str, *, squared: bool = False
) -> Survey:
    """Read all patterns once; what is found unusable is reported in a warning.

    NaN and infinite values, the largest value of an integer type (detectors mark gaps by it, and it is where counters
    stop) and whole negative numbers, by which detectors mark gaps too, make a pixel bad.

    Args:
        stack: the patterns.
        masked: (h, w) True on pixels that are known to be bad, whose values are ignored.
        saturation: value from which on a pixel is saturated; None if it is unknown.
        name: name of the scan in messages.
        squared: whether to add up the squares of integers, too.

    Raises:
        ScanFileError: no pattern is usable.
    """
    tally = _Tally(stack, masked, saturation, squared=squared)
    for part, values in stack.read_parts():
        tally.add(part, values)
    kept = np.flatnonzero(tally.is_kept)
    if not len(kept):
        raise ScanFileError(f"{name}: all {len(stack)} patterns consist of NaN, negative or saturated values")
    # a few whole values are marks; many different ones are noise around zero, as after subtraction of dark frames
    is_marked = 0 < len(tally.marks) <= _MOST_MARKS and all(mark == round(mark) for mark in tally.marks)
    if is_marked and (tally.negative > 0).mean() > _MANY_SHARE:
        # so many pixels are a gap only if they are negative in most patterns
        is_marked = float(tally.negative[tally.negative > 0].mean()) > len(kept) / 2
    bad = (tally.not_finite > 0) | (tally.saturated > 0) | ((tally.negative > 0) & is_marked)
    bad &= ~masked
    _report(tally, bad, is_marked, name)
    return Survey(
        kept=kept,
        bad=bad,
        largest=tally.largest,
        is_whole=tally.is_whole,
        has_whole_squares=tally.has_whole_squares,
        sums=tally.sums[kept],
        has_noise_below_zero=bool(tally.marks) and not is_marked,
        total=tally.total,
        total_squares=tally.total_squares,
    )


def _report(tally: _Tally, bad: NDArray[np.bool_], is_marked: bool, name: str) -> None:
    lost = np.flatnonzero(~tally.is_kept)
    if lost.size:
        first = ", ".join(map(str, lost[:_MOST_NUMBERS])) + (", ..." if lost.size > _MOST_NUMBERS else "")
        _log.warning(
            "%s: %d of %d patterns have no usable values and are left out: %s",
            name,
            lost.size,
            len(tally.is_kept),
            first,
        )
    kinds = (("NaN or infinite", tally.not_finite), ("saturated", tally.saturated))
    found = [(what, int(((count > 0) & bad).sum())) for what, count in kinds]
    if is_marked:
        marks = " or ".join(f"{mark:g}" for mark in sorted(tally.marks))
        found.append((f"negative ({marks})", int(((tally.negative > 0) & bad).sum())))
    told = ", ".join(f"{number} {what}" for what, number in found if number)
    if told:
        share = bad.mean()
        doubt = "; that is much: check --saturation and the file" if share > _MANY_SHARE else ""
        _log.warning("%s: %d pixels (%.2g %%) are masked: %s%s", name, bad.sum(), 100 * share, told, doubt)
