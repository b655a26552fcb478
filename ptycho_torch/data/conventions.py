"""Conversion of stored arrays to the conventions of this package; every decision is logged."""

from __future__ import annotations

import logging
import math
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import DataSettings
from ptycho_torch.errors import ScanFileError

T = TypeVar("T", bound=np.generic)

_log = logging.getLogger(__name__)

LARGEST_FAINT_COUNT = 50
SMALLEST_PATCH_PX = 16
_INTEGER_WITHIN = 1e-3
_DARK_SHARE = 0.01
_LOWEST_DOSE = 1000
_MOST_NUMBERS = 8
_LEAST_EXTENT_PX = 0.01
_LARGEST_LOGARITHM = 80.0
LOGARITHMS = ("log", "log10")


def to_counts(stored: NDArray[Any], settings: DataSettings, name: str) -> NDArray[np.float32]:
    """Convert patterns to photon counts, (pattern, h, w) float32.

    Integers are counts. Floats are counts if all are integers and the largest exceeds 50; otherwise they are amplitudes
    and are squared, in float64, so that integer counts are recovered exactly.

    Raises:
        ScanFileError: values are not numbers, not finite, or negative amplitudes.
    """
    if stored.dtype.kind not in "iuf":
        raise ScanFileError(
            f"{name}: patterns are of type {stored.dtype}; they must be integer counts or float amplitudes"
        )
    wrong = int((~np.isfinite(stored)).any(axis=tuple(range(1, stored.ndim))).sum())
    if wrong:
        raise ScanFileError(
            f"{name}: {wrong} patterns contain NaN or infinite values; mask these pixels or remove the patterns"
        )
    units, reason = detect_units(stored) if settings.units == "auto" else (settings.units, "by settings")
    _log.info("%s: patterns are read as %s (%s)", name, units, reason)
    if units == "counts":
        values: NDArray[Any] = stored
    else:
        values = _square(stored, settings, name) if units == "amplitude" else undo_logarithm(stored, units)
    return scale_dose(values.astype(np.float32), settings, name)


def scale_dose(counts: NDArray[np.float32], settings: DataSettings, name: str) -> NDArray[np.float32]:
    """Scale all counts (pattern, h, w) by one factor to the mean dose of the settings, if they specify one."""
    if settings.photons is None or not counts.size:
        return counts
    return counts * find_factor(counts.sum(axis=(1, 2), dtype=np.float64), settings.photons, name)


def find_factor(photons: NDArray[np.float64], wanted: float, name: str) -> np.float32:
    """Find the factor of counts that gives patterns with these photons (pattern,) a mean dose."""
    mean = float(photons.mean())
    _log.info("%s: patterns are scaled from %.4g to %.4g photons", name, mean, wanted)
    return np.float32(wanted / max(mean, 1e-30))


def _square(stored: NDArray[Any], settings: DataSettings, name: str) -> NDArray[np.float64]:
    lowest = float(np.min(stored, initial=0))
    if lowest < 0:
        raise ScanFileError(f"{name}: the lowest amplitude is {lowest:g}; amplitudes and counts cannot be negative")
    squared, is_whole = square_amplitudes(stored)
    if not is_whole and settings.photons is None:
        warn_of_normalisation(name)
    return squared


def square_amplitudes(stored: NDArray[Any]) -> tuple[NDArray[np.float64], bool]:
    """Square amplitudes in float64; whole counts are recovered exactly, and the second value is True for them."""
    squared = np.square(stored, dtype=np.float64)
    is_whole = bool(are_whole_squares(squared).all())
    return np.round(squared) if is_whole else squared, is_whole


def are_whole_squares(squared: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which squares of amplitudes are whole numbers, but for the rounding of the amplitudes."""
    integers = np.round(squared)
    return np.isclose(squared, integers, rtol=1e-6, atol=_INTEGER_WITHIN)


def undo_logarithm(stored: NDArray[Any], units: str) -> NDArray[np.float64]:
    """Counts of which the logarithm of counts + 1, natural (`log`) or to base 10 (`log10`), is stored."""
    values = np.asarray(stored, np.float64) * (1.0 if units == "log" else math.log(10))
    counts: NDArray[np.float64] = np.expm1(np.minimum(values, _LARGEST_LOGARITHM))
    integers = np.round(counts)
    # float32 keeps seven digits of the logarithm
    is_whole = bool((np.abs(counts - integers) <= _INTEGER_WITHIN + 1e-6 * counts * (1 + values)).all())
    return integers if is_whole else counts


def warn_of_normalisation(name: str) -> None:
    """Warn that squared amplitudes are not whole numbers."""
    _log.warning(
        "%s: the squared amplitudes are not integers; if they are normalised, specify the dose with --photons",
        name,
    )


def detect_units(stored: NDArray[Any]) -> tuple[str, str]:
    """Detect whether patterns (pattern, h, w), in memory or mapped, are `counts` or `amplitude`; also returns why."""
    if np.issubdtype(stored.dtype, np.integer):
        return name_units(stored.dtype, 0.0, True)
    largest = float(np.max(stored)) if stored.size else 0.0
    is_whole = largest > LARGEST_FAINT_COUNT and all(bool((pattern == np.round(pattern)).all()) for pattern in stored)
    return name_units(stored.dtype, largest, is_whole)


def name_units(dtype: np.dtype[Any], largest: float, is_whole: bool) -> tuple[str, str]:
    """Name the units of patterns by their type, their largest value and whether all are whole; also returns why."""
    if np.issubdtype(dtype, np.integer):
        return "counts", f"type {dtype}"
    if largest > LARGEST_FAINT_COUNT and is_whole:
        return "counts", f"integers up to {largest:g}"
    return "amplitude", f"floats up to {largest:.4g}, not integer counts"


def move_patterns_first(stored: NDArray[Any], patterns: int, name: str) -> NDArray[Any]:
    """Move the pattern axis, which is last in old files (FORMAT-001), to the front: (pattern, h, w).

    The order stays unchanged if the first axis has the length `patterns`.
    """
    if stored.ndim == 3 and stored.shape[0] != patterns and stored.shape[2] == patterns:
        _log.info("%s: the pattern axis is the last one, as in old files; it is moved to the front", name)
        return np.moveaxis(stored, 2, 0)
    return stored


def find_illuminated_patterns(photons: NDArray[np.float64], name: str) -> NDArray[np.int64]:
    """Find the indices of the patterns that are not dark, by their photons (pattern,); a warning lists the others.

    A closed shutter leaves a pattern with almost no photons, which a solver would explain by an opaque object. At a
    dose of a few photons per pattern some are dark by chance, and all are kept.
    """
    median = float(np.median(photons)) if photons.size else 0.0
    is_dark = (photons < _DARK_SHARE * median) & (median > _LOWEST_DOSE)
    dark = np.flatnonzero(is_dark)
    if dark.size:
        first = ", ".join(map(str, dark[:_MOST_NUMBERS])) + (", ..." if dark.size > _MOST_NUMBERS else "")
        _log.warning("%s: %d of %d patterns are dark and left out: %s", name, dark.size, len(photons), first)
    return np.flatnonzero(~is_dark)


def check_pixels(positions_px: NDArray[np.float64], name: str) -> None:
    """Raise ScanFileError if positions span so little that they must be in metres."""
    extent = float(np.ptp(positions_px, axis=0).max()) if len(positions_px) else 0.0
    if 0 < extent < _LEAST_EXTENT_PX:
        raise ScanFileError(
            f"{name}: all positions lie within {extent:.3g}; they must be in pixels and seem to be in metres: divide "
            "them by the size of an object pixel"
        )


def is_beam_centred(mean: NDArray[np.floating], settings: DataSettings, name: str) -> bool:
    """Whether the zero frequency lies at [h//2, w//2], not at [0, 0]; detected unless the settings specify it.

    Args:
        mean: (h, w) mean pattern in counts.
        settings: place of the zero frequency.
        name: name of the scan in the log.
    """
    place, reason = settings.zero_frequency, "by settings"
    if place == "auto":
        middle = _measure_middle_share(mean)
        corner = _measure_middle_share(np.fft.fftshift(mean))
        place = "corner" if corner > middle else "centre"
        shares = max(middle, corner), min(middle, corner)
        reason = (
            f"{shares[0]:.0%} of the photons lie within an eighth of the width around it, {shares[1]:.0%} at the other"
        )
    _log.info("%s: the zero frequency lies at the %s (%s)", name, place, reason)
    return place == "centre"


def _measure_middle_share(mean: NDArray[np.floating]) -> float:
    height, width = mean.shape
    part = mean[height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8]
    return float(part.sum() / max(float(mean.sum()), 1e-30))


def orient(images: NDArray[T], settings: DataSettings) -> NDArray[T]:
    """Transpose and flip images (..., h, w) by the settings, about the zero frequency at [h//2, w//2].

    Flipping an axis of even length moves pixel h//2 to h//2 − 1; the result is rolled back by one.
    """
    if settings.transpose:
        images = images.swapaxes(-2, -1)
    for axis, flip in ((-2, settings.flip_rows), (-1, settings.flip_columns)):
        if flip:
            images = np.roll(np.flip(images, axis), 1 - images.shape[axis] % 2, axis)
    return images
