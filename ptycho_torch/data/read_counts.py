"""Counts of all patterns of a recording: in memory, in the file itself, or in a temporary one.

Few patterns are converted to an array. Of many, where they are in the file is remembered, and they are converted
whenever they are used; patterns that are compressed, or in an order in which single ones cannot be read, are converted
once, to a temporary file that ends with the scan. No index outlives its process, so that none is ever found incomplete.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.conventions import LOGARITHMS, find_factor, scale_dose, warn_of_normalisation
from ptycho_torch.data.conversion import Conversion
from ptycho_torch.data.recording import PatternStack
from ptycho_torch.data.stored_counts import CountsFile, StoredCounts, is_held
from ptycho_torch.data.survey import Survey

_log = logging.getLogger(__name__)


def read_counts(stack: PatternStack, found: Survey, conversion: Conversion, name: str) -> NDArray[np.float32]:
    """Read the usable patterns as photon counts of the window, (pattern, N, N).

    Args:
        stack: the patterns as they are stored.
        found: what their survey has shown.
        conversion: to counts.
        name: name of the scan in messages.

    Raises:
        OutputError: there is no space for a temporary file.
    """
    side_px = conversion.window.patch_px
    if is_held(len(found.kept), side_px):
        reading, counts = _Reading(stack, found, conversion), np.zeros((len(found.kept), side_px, side_px), np.float32)
        for part, values in reading.convert():
            counts[part] = values
        reading.warn(float(counts.sum(dtype=np.float64)), name)
        return scale_dose(counts, conversion.settings, name)
    # the logarithms of a few patterns alone do not tell whether all counts were whole
    can_stay = stack.rows is not None and conversion.units not in LOGARITHMS
    return (_keep_in_file if can_stay else _convert_to_file)(stack, found, conversion, name).as_array()


def _keep_in_file(stack: PatternStack, found: Survey, conversion: Conversion, name: str) -> StoredCounts:
    """Counts that are converted whenever they are read; a second reading measures them if the survey could not."""
    wanted = conversion.settings.photons
    is_measured = found.is_whole and not found.bad.any() and not found.has_noise_below_zero
    if conversion.changes_photons or not is_measured or wanted is not None:
        photons, highest = _measure(stack, found, conversion, name)
    else:
        photons, highest = found.sums, found.largest
    if wanted is not None:
        conversion = replace(conversion, factor=find_factor(photons, wanted, name))
        photons, highest = _measure(stack, found, conversion, name)
    assert stack.rows is not None
    rows = stack.rows if len(found.kept) == len(stack) else stack.rows.take(found.kept)
    _log.info("%s: its %d patterns are read from the file whenever they are used", name, len(rows))
    return StoredCounts(
        rows=rows,
        conversion=conversion,
        is_transposed=stack.is_transposed,
        good_pixels=conversion.good_pixels,
        photons=photons,
        highest=highest,
    )


def _convert_to_file(stack: PatternStack, found: Survey, conversion: Conversion, name: str) -> StoredCounts:
    """Counts in a temporary file, in the smallest type in which they are exact."""
    wanted = conversion.settings.photons
    if wanted is not None:
        photons, _ = _measure(stack, found, conversion, name)
        conversion = replace(conversion, factor=find_factor(photons, wanted, name))
    file = CountsFile(len(found.kept), conversion.window.patch_px, _choose_type(found, conversion))
    photons, highest = _measure(stack, found, conversion, name, file)
    rows = file.close()
    _log.info("%s: its %d patterns are unpacked to %s", name, len(rows), rows.path.parent)
    return StoredCounts(
        rows=rows,
        conversion=None,
        is_transposed=False,
        good_pixels=conversion.good_pixels,
        photons=photons,
        highest=highest,
    )


def _measure(
    stack: PatternStack, found: Survey, conversion: Conversion, name: str, file: CountsFile | None = None
) -> tuple[NDArray[np.float64], float]:
    """Photons (pattern,) of each pattern and the highest count; writes the counts to a file, if there is one."""
    reading, photons, highest = _Reading(stack, found, conversion), np.zeros(len(found.kept)), 0.0
    for part, counts in reading.convert():
        photons[part] = counts.sum(axis=(1, 2), dtype=np.float64)
        highest = max(highest, float(counts.max(initial=0)))
        if file is not None:
            file.write(counts)
    if conversion.factor is None:
        reading.warn(float(photons.sum()), name)
    return photons, highest


def _choose_type(found: Survey, conversion: Conversion) -> np.dtype[Any]:
    """The smallest type in which counts are exact."""
    is_squared = conversion.units == "amplitude"
    is_whole = conversion.has_whole_squares if is_squared else found.is_whole
    highest = (found.largest**2 if is_squared else found.largest) * conversion.window.bin**2
    has_factors = any(part is not None for part in (conversion.dark, conversion.flat, conversion.factor))
    is_scaled = has_factors or conversion.units in LOGARITHMS
    if is_scaled or conversion.settings.gain != 1 or not is_whole or round(highest) > np.iinfo(np.uint16).max:
        return np.dtype(np.float32)
    return np.min_scalar_type(round(highest))


class _Reading:
    """A second reading of all patterns, with what there is to say of their values."""

    def __init__(self, stack: PatternStack, found: Survey, conversion: Conversion) -> None:
        self._stack, self._conversion = stack, conversion
        self._usable = np.zeros(len(stack), bool)
        self._usable[found.kept] = True
        self._clipped = 0.0

    def convert(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Convert all usable patterns in parts, with their numbers among these."""
        done = 0
        for part, stored in self._stack.read_parts():
            values = self._conversion.correct(stored[self._usable[part]])
            if values.dtype.kind != "u" and values.size and values.min() < 0:
                self._clipped -= float(values.sum(where=values < 0, dtype=np.float64))
            yield slice(done, done + len(values)), self._conversion.finish(values)
            done += len(values)

    def warn(self, total: float, name: str) -> None:
        """Say what was set to zero, and whether amplitudes may be normalised."""
        if self._clipped:
            share = 100 * self._clipped / max(total, 1e-300)
            _log.warning("%s: negative values, %.2g %% of the sum of the others, are set to zero", name, share)
        conversion = self._conversion
        if conversion.units == "amplitude" and not conversion.has_whole_squares and conversion.settings.photons is None:
            warn_of_normalisation(name)
