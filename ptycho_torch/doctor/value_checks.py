"""What the stored values tell of the detector: units, gain, unusable pixels and frames."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter, rank_filter
from scipy.spatial import cKDTree

from ptycho_torch.config import DataSettings
from ptycho_torch.data.numbers import add_numbers, list_numbers
from ptycho_torch.data.scan import Scan
from ptycho_torch.data.stored_counts import sum_photons
from ptycho_torch.doctor.diagnosis import Finding
from ptycho_torch.doctor.stored import Quantum, StoredValues

_NEIGHBOURS = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)
# a pixel is hot if it is so many times as bright as its third-brightest neighbour
_HOT = 15.0
_FEWEST_PHOTONS = 50
_FEWEST_HOT = 300
_DEAD_WINDOW_PX = 9
_DARK_FRAME = 0.01
_FEWEST_SATURATED = 8
_LOWEST_SATURATION = 20
_EXPOSURE_RANGE = (0.7, 1.4)
_EXPOSURE_SPREADS = 6.0
_NEAREST = 9
MOST_LISTED = 12
_PEDESTAL_SHARE = 0.05


def check_values(stored: StoredValues, scan: Scan, settings: DataSettings) -> Iterator[Finding]:
    """Find what the stored values and the photon counts made of them show.

    Args:
        stored: the values.
        scan: as it was read from them.
        settings: with which it was read.
    """
    if stored.quantum is not None:
        yield from _check_quantum(stored.quantum, scan, settings)
    yield from _check_saturation(stored, settings)
    yield from _check_frames(stored, scan, settings)


def _check_quantum(quantum: Quantum, scan: Scan, settings: DataSettings) -> Iterator[Finding]:
    step, read_as = quantum.step, scan.stored_as
    figures = {"value_of_one_photon": step}
    if quantum.units != read_as:
        meant = {
            "counts": f"the values are multiples of {step:.6g}: they are photon counts",
            "amplitude": f"the squares of the values are multiples of {step:.6g}: they are amplitudes",
            "log": "the values are natural logarithms of whole numbers + 1",
            "log10": "the values are logarithms to base 10 of whole numbers + 1",
        }[quantum.units]
        data: dict[str, object] = {"units": quantum.units}
        if step != settings.gain:
            data["gain"] = step
        yield Finding("units", f"{meant}, but they are read as {read_as}", data=data, figures=figures)
    elif abs(step / settings.gain - 1) > 1e-3:
        yield Finding(
            "gain",
            f"one photon has the value {step:.6g}, not {settings.gain:.6g}: noise and figures of merit are wrong",
            data={"gain": step},
            figures=figures,
        )


def _check_saturation(stored: StoredValues, settings: DataSettings) -> Iterator[Finding]:
    many = stored.at_largest >= _FEWEST_SATURATED and stored.at_largest > 2 * stored.near_largest
    if many and stored.largest > _LOWEST_SATURATION and settings.saturation is None:
        yield Finding(
            "saturation",
            f"{stored.at_largest} values are {stored.largest:.6g}, the largest one, and only {stored.near_largest} "
            "others come near it: the detector was saturated",
            sureness="likely",
            data={"saturation": stored.largest},
            figures={"saturated_values": float(stored.at_largest), "saturation": stored.largest},
        )


def _check_frames(stored: StoredValues, scan: Scan, settings: DataSettings) -> Iterator[Finding]:
    numbers = np.arange(len(scan)) if scan.numbers is None else scan.numbers
    lost = np.setdiff1d(np.arange(stored.patterns), numbers)
    dark = lost[stored.totals[lost] < _DARK_FRAME * np.median(stored.totals)]
    if dark.size and settings.leave_out is None:
        text = f"{dark.size} of {stored.patterns} patterns are dark and left out: {list_numbers(dark[:MOST_LISTED])}"
        yield Finding("dark patterns", text, is_wrong=False, figures={"patterns": float(dark.size)})
    copied = np.array(sorted(number for group in stored.copies for number in group[1:]), np.int64)
    copied = np.intersect1d(copied, numbers)
    if copied.size:
        yield Finding(
            "copies",
            f"{copied.size} of {stored.patterns} patterns are equal to an earlier one: "
            f"{list_numbers(copied[:MOST_LISTED])}",
            data={"leave_out": add_numbers(settings.leave_out, copied)} if copied.size < len(scan) / 2 else {},
            figures={"patterns": float(copied.size)},
        )
    odd, ratio = find_odd_exposures(scan)
    odd = np.setdiff1d(numbers[odd], copied)
    if odd.size:
        yield Finding(
            "exposure",
            f"{odd.size} of {stored.patterns} patterns have {ratio:.2g} times the photons of their neighbours: "
            f"{list_numbers(odd[:MOST_LISTED])}",
            sureness="likely",
            data={"leave_out": add_numbers(settings.leave_out, np.union1d(odd, copied))}
            if odd.size < len(scan) / 3
            else {},
            figures={"patterns": float(odd.size), "ratio": ratio},
        )


def find_odd_exposures(scan: Scan) -> tuple[NDArray[np.int64], float]:
    """Indices of the patterns with other numbers of photons than their neighbours, and the median ratio of these."""
    if len(scan) < 2 * _NEAREST:
        return np.zeros(0, np.int64), 1.0
    photons = sum_photons(scan.counts, scan.good_pixels)
    _, near = cKDTree(scan.positions_px).query(scan.positions_px, k=_NEAREST)
    ratios = photons / np.maximum(np.median(photons[np.asarray(near)[:, 1:]], axis=1), 1e-300)
    logarithms = np.log(np.maximum(ratios, 1e-3))
    spread = 1.4826 * float(np.median(np.abs(logarithms - np.median(logarithms))))
    low, high = _EXPOSURE_RANGE
    odd = np.flatnonzero(((ratios < low) | (ratios > high)) & (np.abs(logarithms) > _EXPOSURE_SPREADS * spread))
    return odd, float(np.median(ratios[odd])) if odd.size else 1.0


def find_pedestal(stored: StoredValues) -> float:
    """The value that a detector adds to every pixel, as values without light show it; 0 if they do not.

    Many pixels reach it and none goes below. Where there is always light, least values of pixels differ.
    """
    least = stored.least[stored.good]
    lowest = float(least.min(initial=np.inf))
    reach_it = np.count_nonzero(least == lowest)
    return lowest if 0 < lowest < np.inf and reach_it > _PEDESTAL_SHARE * least.size else 0.0


def find_bad_pixels(stored: StoredValues, scan: Scan) -> tuple[NDArray[np.bool_], ...]:
    """Find hot and dead pixels, (h, w) True where one is, in the orientation of the file.

    Args:
        stored: the values.
        scan: as it was read from them, for the number of photons.
    """
    good = stored.good
    mean = np.where(good, np.maximum(stored.take_mean(scan.stored_as), 0), 0)
    # photons over the whole scan
    total = mean * (scan.photons_per_pattern * len(scan) / max(float(mean.sum()), 1e-300))
    third = rank_filter(total, rank=-3, footprint=_NEIGHBOURS, mode="wrap")
    hot = good & (total > _HOT * third) & (total > _FEWEST_HOT)
    usual = median_filter(total, size=_DEAD_WINDOW_PX, mode="wrap")
    nearest = median_filter(total, size=3, mode="wrap")
    dead = good & (total <= 0) & (usual > _FEWEST_PHOTONS) & ((nearest > _FEWEST_PHOTONS) | (nearest <= 0))
    return hot, dead
