"""Scans from recordings: values corrected and masked, the window cut out, positions placed, all in one convention."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import DataSettings
from ptycho_torch.data.conventions import (
    check_pixels,
    is_beam_centred,
    name_units,
)
from ptycho_torch.data.conversion import Conversion
from ptycho_torch.data.geometry import Geometry, electron_wavelength_m, photon_wavelength_m
from ptycho_torch.data.make_scan import drop_leading, find_good_pixels, finish_scan
from ptycho_torch.data.numbers import parse_numbers
from ptycho_torch.data.placement import Scale, measure_step, place_positions
from ptycho_torch.data.read_counts import read_counts
from ptycho_torch.data.recording import Recording
from ptycho_torch.data.scan import Scan
from ptycho_torch.data.survey import Survey, survey
from ptycho_torch.data.window import Window
from ptycho_torch.errors import ConfigError, ScanFileError

_log = logging.getLogger(__name__)

_NEAR_FIELD = (
    "the patterns are near-field ones, shadows of the sample (holograms), which the far-field model cannot "
    "reconstruct; near-field ptychography is not supported"
)


def assemble(recording: Recording, settings: DataSettings, probe: NDArray[Any] | None = None) -> Scan:
    """Make a scan of a recording; the settings replace what the recording states, and the rest is detected and logged.

    Args:
        recording: what a file contains.
        settings: conventions of the file, geometry, part of the detector to use.
        probe: probe that replaces that of the recording, (h, w) or (mode, h, w).

    Raises:
        ScanFileError: the arrays do not fit each other, the unit of positions is unknown, or it is near-field data.
        ConfigError: settings contradict each other or do not fit the patterns.
        DataError: the arrays do not form a usable scan.
    """
    name, stack = recording.name, recording.patterns
    if not recording.is_far_field:
        raise ScanFileError(f"{name}: {_NEAR_FIELD}")
    geometry = combine(recording.geometry, settings)
    good = find_good_pixels(recording.bad_pixels, stack.frame, name)
    dark, flat, background = (
        _check_image(image, stack.frame, what, name)
        for what, image in (("dark", recording.dark), ("flat", recording.flat), ("background", recording.background))
    )
    if flat is not None:
        good &= flat > 0
    is_amplitude = "amplitude" in (settings.units, recording.units)
    found = survey(stack, ~good, settings.saturation, name, squared=is_amplitude)
    good &= ~found.bad
    found = _leave_out(found, len(stack), settings, name)
    units = _choose_units(recording, settings, found)
    is_centred = _is_centred(recording, settings, found, units)
    window = Window.choose(stack.frame, recording.beam_centre_px, settings, name)
    window = replace(window, is_corner=not is_centred)
    scale = Scale(_find_pixel_m(geometry, window), window.side_px, window.stored)
    positions_px = place_positions(recording, settings, scale)[found.kept + settings.position_offset]
    check_pixels(positions_px, name)
    if scale.pixel_m and geometry.is_near_field(window.side_px, measure_step(positions_px) * scale.pixel_m):
        raise ScanFileError(f"{name}: by wavelength, distance and pixel size {_NEAR_FIELD}")
    conversion = Conversion(
        good=good,
        window=window,
        settings=settings,
        units=units,
        has_whole_squares=bool(found.has_whole_squares[good].all()),
        dark=dark,
        flat=flat,
        is_swapped=window.is_whole and not is_centred,
    )
    if background is not None:
        background = background / (settings.gain * (1 if flat is None else np.where(flat > 0, flat, 1)))
        background = conversion.turn(window.cut(background))
    used = recording.probe if probe is None else probe
    return finish_scan(
        name=name,
        counts=read_counts(stack, found, conversion, name),
        good_pixels=conversion.good_pixels,
        positions_px=positions_px,
        pixel_m=scale.pixel_m,
        probe=None if used is None else window.convert_probe(drop_leading(used, 3), name),
        # another window has other object pixels
        true_object=recording.true_object if window.side_px == stack.frame[0] else None,
        object_may_be_small=recording.object_may_be_small,
        background=background,
        source=recording.source,
        stored_as=units,
        geometry=_bin_pixels(geometry, window.bin),
        numbers=found.kept,
    )


def _leave_out(found: Survey, patterns: int, settings: DataSettings, name: str) -> Survey:
    """Leave out the patterns that the settings name, and those that have no position after the offset.

    Raises:
        ConfigError: the numbers are none, or no pattern would remain.
    """
    if settings.leave_out is None and not settings.position_offset:
        return found
    with_position = found.kept + settings.position_offset
    kept = found.kept[(with_position >= 0) & (with_position < patterns)]
    if settings.leave_out is not None:
        kept = np.setdiff1d(kept, parse_numbers(settings.leave_out, patterns))
    if not len(kept):
        raise ConfigError(f"{name}: DataSettings.leave_out and DataSettings.position_offset leave no pattern")
    _log.info("%s: %d of %d patterns are left out by settings", name, len(found.kept) - len(kept), patterns)
    return replace(found, kept=kept, sums=found.sums[np.isin(found.kept, kept)])


def combine(stated: Geometry, settings: DataSettings) -> Geometry:
    """Replace what a file states of the geometry by what the settings specify.

    Raises:
        ConfigError: the settings specify the wavelength twice.
    """
    asked = {
        "energy_ev": settings.energy_ev and photon_wavelength_m(settings.energy_ev),
        "electron_energy_ev": settings.electron_energy_ev and electron_wavelength_m(settings.electron_energy_ev),
        "wavelength_m": settings.wavelength_m,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    if len(given) > 1:
        first, second = list(given)[:2]
        raise ConfigError(f"DataSettings.{first} and DataSettings.{second} exclude each other; specify one of them")
    angle = None if settings.detector_pixel_mrad is None else settings.detector_pixel_mrad * 1e-3
    if angle is not None and settings.detector_pixel_m is not None:
        raise ConfigError(
            "DataSettings.detector_pixel_mrad and DataSettings.detector_pixel_m exclude each other; specify one of them"
        )
    changed = {
        "wavelength_m": next(iter(given.values()), None),
        "distance_m": settings.distance_m,
        "detector_pixel_m": settings.detector_pixel_m,
        "detector_pixel_rad": angle,
        "object_pixel_m": settings.pixel_m,
    }
    values: dict[str, float | None] = {name: value for name, value in changed.items() if value is not None}
    if values and settings.pixel_m is None:
        # the object pixel of the file belongs to the geometry that the settings replace
        values["object_pixel_m"] = None
    if settings.distance_m is not None or settings.detector_pixel_m is not None:
        values["detector_pixel_rad"] = None
    return replace(stated, **values)


def _bin_pixels(geometry: Geometry, factor: int) -> Geometry:
    """The geometry with detector pixels that were added up."""
    pixel, angle = geometry.detector_pixel_m, geometry.detector_pixel_rad
    return replace(
        geometry,
        detector_pixel_m=None if pixel is None else pixel * factor,
        detector_pixel_rad=None if angle is None else angle * factor,
    )


def _find_pixel_m(geometry: Geometry, window: Window) -> float | None:
    """Side of an object pixel under the window; one that is stated belongs to the patterns as they are stored."""
    if geometry.object_pixel_m is not None:
        return geometry.object_pixel_m * window.stored[0] / window.side_px
    return geometry.find_object_pixel_m(window.side_px)


def _check_image(
    image: NDArray[Any] | None, frame: tuple[int, int], what: str, name: str
) -> NDArray[np.float64] | None:
    if image is None:
        return None
    image = np.squeeze(image)
    if image.dtype.kind not in "biuf":
        raise ScanFileError(f"{name}: the {what} is of type {image.dtype}; it must be real")
    if image.ndim == 3 and image.shape[1:] == frame:
        image = image.mean(axis=0)
    if image.shape != frame:
        raise ScanFileError(f"{name}: the {what} has shape {image.shape}, the patterns {frame}")
    return image.astype(np.float64)


def _choose_units(recording: Recording, settings: DataSettings, found: Survey) -> str:
    name = recording.name
    units, reason = settings.units, "by settings"
    if units == "auto" and recording.units != "auto":
        units, reason = recording.units, "by the format"
    chosen: str = units
    if units == "auto":
        chosen, reason = name_units(recording.patterns.dtype, found.largest, found.is_whole)
    _log.info("%s: patterns are read as %s (%s)", name, chosen, reason)
    if chosen == "amplitude" and found.has_noise_below_zero:
        raise ScanFileError(
            f"{name}: patterns contain negative values; amplitudes cannot be negative: if they are counts after "
            "subtraction of dark frames, add --units counts"
        )
    return chosen


def _is_centred(recording: Recording, settings: DataSettings, found: Survey, units: str) -> bool:
    """Whether the zero frequency is not stored at pixel [0, 0]; a stated direct beam is never there."""
    name, place = recording.name, settings.zero_frequency
    if place == "auto":
        place = recording.zero_frequency
    is_stated = settings.centre_row_px is not None or settings.centre_column_px is not None
    if place == "auto" and is_stated:
        place = "centre"
    mean = (found.total_squares if units == "amplitude" else found.total) / len(found.kept)
    return is_beam_centred(mean, replace(settings, zero_frequency=place), name)
