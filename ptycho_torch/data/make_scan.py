"""Arrays as a file or a caller holds them to a scan: units, dark frames, mask, orientation, probe modes."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config.schema import DataSettings
from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.conventions import (
    check_pixels,
    detect_units,
    find_illuminated_patterns,
    is_beam_centred,
    orient,
    to_counts,
)
from ptycho_torch.data.scan import Scan, ScanSource
from ptycho_torch.errors import ScanFileError

_log = logging.getLogger(__name__)


def make_scan(
    *,
    name: str,
    stored: NDArray[Any],
    positions_px: NDArray[np.float64],
    settings: DataSettings,
    bad_pixels: NDArray[Any] | None = None,
    probe: NDArray[Any] | None = None,
    truth: Canvas | None = None,
    background: NDArray[Any] | None = None,
    source: ScanSource | None = None,
) -> Scan:
    """Make a scan of arrays in any of the forms that `DataSettings` knows; what they do not say is detected.

    Args:
        name: how errors, logs and figures refer to the scan.
        stored: (pattern, N, N) counts or amplitudes.
        positions_px: (pattern, 2) row and column of the object pixel under patch pixel [N//2, N//2].
        settings: units, place of the direct beam, orientation; detected where they say `auto`.
        bad_pixels: (N, N) true where the detector cannot be trusted; axes of length one are dropped.
        probe: (N, N) or (mode, N, N).
        truth: the object that was simulated; it is left out where the patterns see one value of it alone.
        background: (N, N) mean photons that each pattern holds beside those of the sample.
        source: what the patterns came from, where a result can be written in the same form.

    Raises:
        ScanFileError: the arrays do not fit each other, or hold no numbers that a detector could give.
        DataError: they do not make a scan.
    """
    if stored.ndim != 3:
        raise ScanFileError(f"{name}: patterns have shape {stored.shape}; (pattern, N, N) is needed")
    if positions_px.ndim != 2 or positions_px.shape[1:] != (2,):
        raise ScanFileError(f"{name}: positions have shape {positions_px.shape}; (pattern, 2) is needed")
    if len(stored) != len(positions_px):
        raise ScanFileError(
            f"{name}: {len(stored)} patterns but {len(positions_px)} positions; as many of each are needed"
        )
    check_pixels(positions_px, name)
    if background is not None and (background.shape != stored.shape[1:] or background.dtype.kind not in "iuf"):
        raise ScanFileError(
            f"{name}: the background has shape {background.shape} and type {background.dtype}; "
            f"{stored.shape[1:]} real numbers are needed"
        )
    good: NDArray[Any] = find_good_pixels(bad_pixels, stored, name)
    # values on bad pixels mean nothing, not even as numbers
    counts = to_counts(np.where(good, stored, np.zeros((), stored.dtype)), settings, name)
    if counts.size:
        # the mask is an image of the same detector: whatever turns the patterns turns it too
        lit = find_illuminated_patterns(counts, name)
        counts, positions_px = counts[lit], positions_px[lit]
        is_centred = is_beam_centred(counts, settings, name)
        turned = [
            orient(images if is_centred else np.fft.fftshift(images, (-2, -1)), settings)
            for images in (counts, good, *(() if background is None else (background,)))
        ]
        counts, good, background = turned[0], turned[1], (turned[2] if background is not None else None)
    if settings.swap_positions:
        positions_px = positions_px[:, ::-1]
    if truth is not None and _is_blank(truth, positions_px, stored.shape[-1]):
        _log.info("%s: the patterns see nothing of the object but one value, so there is nothing to compare with", name)
        truth = None
    return Scan(
        counts=counts,
        positions_px=positions_px,
        probe=None if probe is None else to_modes(probe, name),
        good_pixels=good,
        truth=truth,
        pixel_m=settings.pixel_m,
        name=name,
        source=source,
        background=None if background is None else background.astype(np.float32),
        stored_as=detect_units(stored)[0] if settings.units == "auto" else settings.units,
    )


def find_good_pixels(bad_pixels: NDArray[Any] | None, stored: NDArray[Any], name: str) -> NDArray[np.bool_]:
    """Where the detector can be trusted, (N, N): everywhere but on the bad pixels, axes of length one dropped.

    Raises:
        ScanFileError: they are of another shape than the patterns (pattern, N, N), or no numbers.
    """
    if bad_pixels is None:
        return np.ones(stored.shape[1:], bool)
    if bad_pixels.dtype.kind not in "biuf":
        raise ScanFileError(f"{name}: the mask is of type {bad_pixels.dtype}; true and false are needed")
    good: NDArray[np.bool_] = ~np.squeeze(bad_pixels).astype(bool)
    if good.shape != stored.shape[1:]:
        raise ScanFileError(f"{name}: the mask has shape {good.shape}, the patterns {stored.shape[1:]}")
    return good


def _is_blank(truth: Canvas, positions_px: NDArray[np.float64], patch_px: int) -> bool:
    """Whether what the patterns see of an object is the same everywhere, whatever its border is."""
    if not len(positions_px) or not truth.covers(positions_px, patch_px).all():
        return False
    seen = Frame(positions_px, patch_px).cut_from(truth)
    return bool((seen == seen[0, 0]).all())


def to_modes(probe: NDArray[Any], name: str) -> NDArray[np.complex64]:
    """A stored probe as (mode, h, w) complex64; a flat one becomes a single mode.

    Raises:
        ScanFileError: it has another number of axes or is not numeric.
    """
    reduced = drop_leading(probe, 3) if probe.ndim > 3 else probe
    if reduced.ndim == 2:
        reduced = reduced[None]
    if reduced.ndim != 3 or reduced.dtype.kind not in "iufc":
        raise ScanFileError(f"{name}: the probe has shape {probe.shape} and type {probe.dtype}; (mode, N, N) is needed")
    return reduced.astype(np.complex64)


def to_true_object(image: NDArray[Any], name: str) -> Canvas | None:
    """An object whose pixel [0, 0] lies at position (0, 0); None where it tells nothing: constant or not finite.

    Raises:
        ScanFileError: it is real, so that its phase is lost (DATA-001), or not numeric.
    """
    if image.size == 0 or (image.dtype.kind in "biufc" and (image == image.flat[0]).all()):
        return None
    if image.dtype.kind != "c":
        raise ScanFileError(
            f"{name}: the object is of type {image.dtype}; complex values are needed, or its phase is lost"
        )
    return Canvas(image.astype(np.complex64)) if np.isfinite(image).all() else None


def drop_leading(array: NDArray[Any], axes: int) -> NDArray[Any]:
    """Without the axes of length one in front, as long as there are more than `axes`."""
    while array.ndim > axes and array.shape[0] == 1:
        array = array[0]
    return array
