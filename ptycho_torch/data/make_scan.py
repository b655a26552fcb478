"""Scans from arrays in a file or in memory: units, dark patterns, bad pixels, orientation, probe modes, true object."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import DataSettings
from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.conventions import (
    check_pixels,
    detect_units,
    find_illuminated_patterns,
    is_beam_centred,
    orient,
    to_counts,
)
from ptycho_torch.data.geometry import Geometry
from ptycho_torch.data.scan import Scan, ScanSource, check_shapes
from ptycho_torch.data.stored_counts import sum_photons, take_counts
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
    true_object: NDArray[Any] | None = None,
    object_may_be_small: bool = False,
    background: NDArray[Any] | None = None,
    source: ScanSource | None = None,
) -> Scan:
    """Make a scan of arrays in any of the conventions of `DataSettings`; those not specified are detected.

    Args:
        name: name of the scan in errors, logs and figures.
        stored: (pattern, N, N) counts or amplitudes.
        positions_px: (pattern, 2) row and column of the object pixel under patch pixel [N//2, N//2].
        settings: units, position of the direct beam, orientation; detected if they are `auto`.
        bad_pixels: (N, N) True on bad pixels; axes of length one are dropped.
        probe: (N, N) or (mode, N, N).
        true_object: (height, width) or (layer, height, width) complex, pixel [0, 0] at position (0, 0). It is ignored
            if results cannot be compared with it: if it has several layers, is constant or not finite.
        object_may_be_small: ignore a true object that does not cover the scan, too; otherwise it is an error.
        background: (N, N) mean photons per pattern that do not come from the sample.
        source: what the scan was read from, if results can be written in the same form.

    Raises:
        ScanFileError: the arrays do not fit each other, or contain values that a detector cannot record.
        DataError: they do not form a usable scan.
    """
    check_shapes(name, stored, positions_px, background, error=ScanFileError)
    check_pixels(positions_px, name)
    if background is not None and background.dtype.kind not in "iuf":
        raise ScanFileError(f"{name}: the background is of type {background.dtype}; it must be real")
    good: NDArray[Any] = find_good_pixels(bad_pixels, stored.shape[1:], name)
    # values on bad pixels are meaningless and need not even be numbers
    counts: NDArray[Any] = to_counts(np.where(good, stored, np.zeros((), stored.dtype)), settings, name)
    if counts.size:
        is_centred = settings.zero_frequency == "centre" or is_beam_centred(counts.mean(axis=0), settings, name)
        # all images of the detector have the same orientation
        images: list[NDArray[Any]] = [counts, good, *([] if background is None else [background])]
        images = [orient(image if is_centred else np.fft.fftshift(image, (-2, -1)), settings) for image in images]
        counts, good, background = images[0], images[1], (images[2] if background is not None else None)
    return finish_scan(
        name=name,
        counts=counts,
        good_pixels=good,
        positions_px=positions_px[:, ::-1] if settings.swap_positions else positions_px,
        pixel_m=settings.pixel_m,
        probe=probe,
        true_object=true_object,
        object_may_be_small=object_may_be_small,
        background=background,
        source=source,
        stored_as=detect_units(stored)[0] if settings.units == "auto" else settings.units,
    )


def finish_scan(
    *,
    name: str,
    counts: NDArray[np.float32],
    good_pixels: NDArray[np.bool_],
    positions_px: NDArray[np.float64],
    pixel_m: float | None,
    probe: NDArray[Any] | None,
    true_object: NDArray[Any] | None,
    object_may_be_small: bool,
    background: NDArray[Any] | None,
    source: ScanSource | None,
    stored_as: str,
    geometry: Geometry | None = None,
    numbers: NDArray[np.int64] | None = None,
) -> Scan:
    """Make a scan of photon counts, positions in pixels and what belongs to them; see `make_scan`.

    Dark patterns are left out. All images of the detector have the orientation of this package.
    """
    if counts.size:
        illuminated = find_illuminated_patterns(sum_photons(counts, good_pixels), name)
        if len(illuminated) < len(counts):
            counts, positions_px = take_counts(counts, illuminated), positions_px[illuminated]
            numbers = None if numbers is None else numbers[illuminated]
    truth = None
    if true_object is not None:
        truth = _choose_truth(true_object, positions_px, counts.shape[-1], name, may_be_small=object_may_be_small)
    return Scan(
        counts=counts,
        positions_px=positions_px,
        probe=None if probe is None else to_modes(probe, name),
        good_pixels=good_pixels,
        truth=truth,
        pixel_m=pixel_m,
        name=name,
        source=source,
        background=background,
        stored_as=stored_as,
        geometry=geometry or Geometry(),
        numbers=numbers,
    )


def find_good_pixels(bad_pixels: NDArray[Any] | None, frame: tuple[int, ...], name: str) -> NDArray[np.bool_]:
    """Invert a mask of bad pixels, axes of length one dropped; returns (h, w), True everywhere if there is no mask.

    Raises:
        ScanFileError: the mask does not fit the patterns, of which `frame` is the shape, or is not numeric.
    """
    if bad_pixels is None:
        return np.ones(frame, bool)
    if bad_pixels.dtype.kind not in "biuf":
        raise ScanFileError(f"{name}: the mask is of type {bad_pixels.dtype}; it must be boolean")
    good: NDArray[np.bool_] = ~np.squeeze(bad_pixels).astype(bool)
    if good.shape != frame:
        raise ScanFileError(f"{name}: the mask has shape {good.shape}, the patterns {frame}")
    return good


def to_modes(probe: NDArray[Any], name: str) -> NDArray[np.complex64]:
    """Convert a probe to (mode, h, w) complex64; a two-dimensional one becomes a single mode.

    Raises:
        ScanFileError: it has another number of axes or is not numeric.
    """
    modes = drop_leading(probe, 3)
    if modes.ndim == 2:
        modes = modes[None]
    if modes.ndim != 3 or modes.dtype.kind not in "iufc":
        raise ScanFileError(
            f"{name}: the probe has shape {probe.shape} and type {probe.dtype}; it must be complex (mode, N, N)"
        )
    return modes.astype(np.complex64)


def _choose_truth(
    image: NDArray[Any], positions_px: NDArray[np.float64], patch_px: int, name: str, *, may_be_small: bool
) -> Canvas | None:
    """Make the true object; None if results cannot be compared with it.

    Raises:
        ScanFileError: it is real, so that its phase is lost (DATA-001), or not numeric.
    """
    layers = len(image) if image.ndim == 3 else 1
    image = drop_leading(image, 2)
    is_constant = image.size == 0 or (image.dtype.kind in "biufc" and bool((image == image.flat[0]).all()))
    if image.ndim == 2 and not is_constant and image.dtype.kind != "c":
        raise ScanFileError(f"{name}: the object is of type {image.dtype}; it must be complex, or its phase is lost")
    if image.ndim != 2 or is_constant or not np.isfinite(image).all():
        _log.info("%s: results are not compared with the object: it has %d layers or no contrast", name, layers)
        return None
    truth = Canvas(image.astype(np.complex64))
    is_covered = bool(truth.has_patches(positions_px, patch_px).all())
    if not is_covered and may_be_small:
        _log.warning("%s: results are not compared with the object: it does not cover the scan", name)
        return None
    if is_covered and len(positions_px) and Frame(positions_px, patch_px).is_uniform(truth):
        _log.info("%s: results are not compared with the object: it has no contrast in the area of the scan", name)
        return None
    return truth


def drop_leading(array: NDArray[Any], axes: int) -> NDArray[Any]:
    """Drop leading axes of length one as long as there are more than `axes`."""
    while array.ndim > axes and array.shape[0] == 1:
        array = array[0]
    return array
