"""From arrays as stored to arrays as this package means them; every decision is logged."""

from __future__ import annotations

import logging
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config.schema import DataSettings
from ptycho_torch.errors import ScanFileError

T = TypeVar("T", bound=np.generic)

_log = logging.getLogger(__name__)

_LARGEST_FAINT_COUNT = 50
_WHOLE_WITHIN = 1e-3
_DARK_SHARE = 0.01
_LEAST_USUAL_PHOTONS = 1000
_NAMED = 8
_LEAST_EXTENT_PX = 0.01


def to_counts(stored: NDArray[Any], settings: DataSettings, name: str) -> NDArray[np.float32]:
    """Patterns as photon counts, (pattern, h, w) float32.

    Integers are counts. Floats are counts when all are whole and the largest exceeds 50; otherwise they are amplitudes
    and get squared, in float64, so that whole counts come back whole.

    Raises:
        ScanFileError: values are no numbers, not finite, or negative amplitudes.
    """
    if stored.dtype.kind not in "iuf":
        raise ScanFileError(
            f"{name}: patterns are of type {stored.dtype}; integer counts or float amplitudes are needed"
        )
    wrong = int((~np.isfinite(stored)).any(axis=tuple(range(1, stored.ndim))).sum())
    if wrong:
        raise ScanFileError(f"{name}: {wrong} patterns hold NaN or infinite values; mask those pixels or drop them")
    units, reason = detect_units(stored) if settings.units == "auto" else (settings.units, "as asked")
    _log.info("%s: patterns are read as %s (%s)", name, units, reason)
    if units == "counts":
        return _rescaled(stored.astype(np.float32), settings, name)
    if stored.size and float(np.min(stored)) < 0:
        raise ScanFileError(
            f"{name}: amplitudes go down to {float(np.min(stored)):g}; neither amplitudes nor counts can be negative"
        )
    squared = np.square(stored, dtype=np.float64)
    whole = np.round(squared)
    counts = whole if np.allclose(squared, whole, rtol=1e-6, atol=_WHOLE_WITHIN) else squared
    if counts is squared and settings.photons is None:
        _log.warning(
            "%s: the squared amplitudes are not whole numbers; if they are normalised, tell the dose with --photons",
            name,
        )
    return _rescaled(counts.astype(np.float32), settings, name)


def detect_units(stored: NDArray[Any]) -> tuple[str, str]:
    """What patterns (pattern, h, w) hold, `counts` or `amplitude`, and why; arrays larger than memory are welcome."""
    if np.issubdtype(stored.dtype, np.integer):
        return "counts", f"type {stored.dtype}"
    largest = float(np.max(stored)) if stored.size else 0.0
    if largest > _LARGEST_FAINT_COUNT and all(bool((pattern == np.round(pattern)).all()) for pattern in stored):
        return "counts", f"whole numbers up to {largest:g}"
    return "amplitude", f"floats up to {largest:.4g}, not whole counts"


def move_patterns_first(stored: NDArray[Any], patterns: int, name: str) -> NDArray[Any]:
    """Patterns (pattern, h, w), whichever order they were stored in: old files keep the pattern axis last (FORMAT-001).

    Where the first axis fits the number of patterns, the order is the new one.
    """
    if stored.ndim == 3 and stored.shape[0] != patterns and stored.shape[2] == patterns:
        _log.info("%s: the pattern axis comes last, as in old files; it is moved to the front", name)
        return np.moveaxis(stored, 2, 0)
    return stored


def _rescaled(counts: NDArray[np.float32], settings: DataSettings, name: str) -> NDArray[np.float32]:
    if settings.photons is None or not counts.size:
        return counts
    mean = float(counts.sum(axis=(1, 2), dtype=np.float64).mean())
    _log.info("%s: patterns scaled from %.4g to %.4g photons", name, mean, settings.photons)
    return counts * np.float32(settings.photons / max(mean, 1e-30))


def find_illuminated_patterns(counts: NDArray[np.float32], name: str) -> NDArray[np.int64]:
    """Indices of the patterns that hold light; dark ones are named in a warning.

    A shutter that was closed leaves a frame with next to no photons, which a solver would take for an opaque object.
    At a dose of a few photons a pattern, chance alone leaves some empty: there all are kept.
    """
    photons = counts.sum(axis=(1, 2), dtype=np.float64)
    usual = float(np.median(photons)) if photons.size else 0.0
    dark = np.flatnonzero(photons < _DARK_SHARE * usual) if usual > _LEAST_USUAL_PHOTONS else np.array([], np.int64)
    if dark.size:
        first = ", ".join(map(str, dark[:_NAMED])) + (", ..." if dark.size > _NAMED else "")
        _log.warning("%s: %d of %d patterns are dark and left out: %s", name, dark.size, len(counts), first)
    return np.setdiff1d(np.arange(len(counts)), dark)


def check_pixels(positions_px: NDArray[np.float64], name: str) -> None:
    """Raise ScanFileError where positions lie so close together that they can only be metres."""
    extent = float(np.ptp(positions_px, axis=0).max()) if len(positions_px) else 0.0
    if 0 < extent < _LEAST_EXTENT_PX:
        raise ScanFileError(
            f"{name}: all positions lie within {extent:.3g}; pixels are needed, these look like metres: divide them by "
            "the size of an object pixel"
        )


def is_beam_centred(counts: NDArray[np.float32], settings: DataSettings, name: str) -> bool:
    """Whether the direct beam lies at [h//2, w//2]; otherwise it lies at [0, 0]. Detected unless the settings say."""
    place, reason = settings.zero_frequency, "as asked"
    if place == "auto":
        mean = counts.mean(axis=0)
        middle = _share_in_middle(mean)
        corner = _share_in_middle(np.fft.fftshift(mean))
        place = "corner" if corner > middle else "centre"
        shares = max(middle, corner), min(middle, corner)
        reason = f"{shares[0]:.0%} of the photons lie within an eighth of it, {shares[1]:.0%} at the other"
    _log.info("%s: the zero frequency lies at the %s (%s)", name, place, reason)
    return place == "centre"


def _share_in_middle(mean: NDArray[np.float32]) -> float:
    height, width = mean.shape
    part = mean[height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8]
    return float(part.sum() / max(float(mean.sum()), 1e-30))


def orient(counts: NDArray[T], settings: DataSettings) -> NDArray[T]:
    """Patterns or a mask (..., h, w) turned as the settings say, about the zero frequency at [h//2, w//2].

    Reversing an axis of even length moves pixel h//2 to h//2 − 1; the result is rolled back by one.
    """
    if settings.transpose:
        counts = counts.swapaxes(-2, -1)
    for axis, wanted in ((-2, settings.flip_rows), (-1, settings.flip_columns)):
        if wanted:
            counts = np.roll(np.flip(counts, axis), 1 - counts.shape[axis] % 2, axis)
    return counts
