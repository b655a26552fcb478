"""Stored values: one reading of the patterns as a file contains them, before they become photon counts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.recording import PatternStack

_FEWEST_VALUES = 6
_MOST_VALUES = 3000
_LOWEST_VALUES = 200
# of a hundred multiples of one photon at least so many occur among the lowest values
_LEAST_OCCUPIED = 0.05
_OFF_MULTIPLE = 0.02
_SAMPLED_PER_PART = 12
_NEAR_LARGEST = 0.9
_MOST_HIGHEST = 2**16
_DIGEST_BYTES = 16
_ROUNDED_VALUES = 20
_LEAST_ROUNDED_STEP = 1.2
_ROUNDING = 0.7

Form = Literal["counts", "amplitude", "log", "log10"]


@dataclass(frozen=True)
class Quantum:
    """The form in which photons were stored, as their discreteness shows it.

    Attributes:
        units: what the values are: multiples of `step`, square roots of such multiples, or logarithms of counts + 1.
        step: value of one photon, after squaring if `units` is `amplitude`.
    """

    units: Form
    step: float


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredValues:
    """What a reading of all stored patterns has shown.

    Attributes:
        kind: type of the values.
        patterns: number of patterns.
        frame: rows and columns.
        good: (h, w) False on pixels that are known to be bad, whose values are ignored.
        mean, mean_square: (h, w) mean of the finite values, and of their squares.
        totals: (pattern,) sum of the finite values.
        least: (h, w) least finite value of each pixel, infinite where there is none.
        largest: largest finite value.
        at_largest: how many values are equal to it.
        near_largest: how many others are above 90 % of it.
        not_finite: how many values are NaN or infinite.
        negative: how many values are negative.
        copies: numbers of patterns that are equal to an earlier one, with that one first.
        quantum: the form of the values; None if they are not discrete.
    """

    kind: str
    patterns: int
    frame: tuple[int, int]
    good: NDArray[np.bool_]
    mean: NDArray[np.float64]
    mean_square: NDArray[np.float64]
    totals: NDArray[np.float64]
    least: NDArray[np.float64]
    largest: float
    at_largest: int
    near_largest: int
    not_finite: int
    negative: int
    copies: tuple[tuple[int, ...], ...]
    quantum: Quantum | None

    def take_mean(self, stored_as: str) -> NDArray[np.float64]:
        """The mean (h, w) that is proportional to photons, by what the values are read as."""
        # of amplitudes, the mean would make a few photons in the dark look many
        return self.mean_square if stored_as == "amplitude" else self.mean

    def to_dict(self) -> dict[str, Any]:
        """Convert the numbers to plain values."""
        quantum = self.quantum
        return {
            "type": self.kind,
            "patterns": self.patterns,
            "rows": self.frame[0],
            "columns": self.frame[1],
            "largest_value": self.largest,
            "values_at_largest": self.at_largest,
            "not_finite_values": self.not_finite,
            "negative_values": self.negative,
            "copies": [list(group) for group in self.copies],
            "discrete_as": None if quantum is None else quantum.units,
            "value_of_one_photon": None if quantum is None else quantum.step,
        }


class _Tally:
    """Running figures of the patterns, which take the same memory however many there are, but for 40 bytes each."""

    def __init__(self, stack: PatternStack, good: NDArray[np.bool_]) -> None:
        self.good = good
        self.total, self.squares, self.finite_number = (np.zeros(stack.frame) for _ in range(3))
        self.totals = np.zeros(len(stack))
        self.digests = np.zeros((len(stack), _DIGEST_BYTES), np.uint8)
        self.not_finite = self.negative = 0
        self.least = np.full(stack.frame, np.inf)
        self.lowest = np.zeros(0)
        self.highest, self.times = np.zeros(0), np.zeros(0, np.int64)

    def add(self, part: slice, values: NDArray[Any]) -> None:
        """Add patterns (pattern, h, w) with these numbers."""
        finite = np.isfinite(values) & self.good
        self.not_finite += int(np.count_nonzero(~finite & self.good))
        clean = np.where(finite, values, np.zeros((), values.dtype))
        self.negative += int(np.count_nonzero(clean < 0))
        wide = clean.astype(np.float64)
        self.least = np.minimum(self.least, np.where(finite, wide, np.inf).min(axis=0))
        self.total += wide.sum(axis=0)
        self.squares += np.einsum("phw,phw->hw", wide, wide)
        self.finite_number += finite.sum(axis=0)
        self.totals[part] = wide.sum(axis=(1, 2))
        for number, pattern in enumerate(clean, part.start):
            digest = hashlib.blake2b(np.ascontiguousarray(pattern).tobytes(), digest_size=_DIGEST_BYTES).digest()
            self.digests[number] = np.frombuffer(digest, np.uint8)
        self._add_highest(wide)
        sample = wide[:: max(1, len(clean) // _SAMPLED_PER_PART)]
        self.lowest = _take_lowest(np.concatenate([self.lowest, _take_lowest(sample)]))

    def _add_highest(self, values: NDArray[np.float64]) -> None:
        """Count the values near the largest one."""
        largest = max(float(values.max()), self.highest[-1] if len(self.highest) else 0.0)
        if largest <= 0:
            return
        found, times = np.unique(values[values > _NEAR_LARGEST * largest], return_counts=True)
        self.highest, place = np.unique(np.concatenate([self.highest, found]), return_inverse=True)
        self.times = np.bincount(place, np.concatenate([self.times, times])).astype(np.int64)
        first = int(np.searchsorted(self.highest, _NEAR_LARGEST * largest, "right"))
        first = max(first, len(self.highest) - _MOST_HIGHEST)
        self.highest, self.times = self.highest[first:], self.times[first:]

    def find_copies(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of the patterns that are equal and not empty."""
        words = self.digests.view(np.uint64)
        order = np.lexsort(words.T)
        words = words[order]
        same = np.concatenate([[False], (words[1:] == words[:-1]).all(axis=1), [False]])
        starts = np.flatnonzero(same[1:] & ~same[:-1])
        ends = np.flatnonzero(same[:-1] & ~same[1:])
        groups = [tuple(order[start : end + 1].tolist()) for start, end in zip(starts, ends, strict=True)]
        return tuple(sorted(group for group in groups if self.totals[group[0]] != 0))


def read_stored(stack: PatternStack, good: NDArray[np.bool_]) -> StoredValues:
    """Read all patterns once, in parts.

    Args:
        stack: the patterns.
        good: (h, w) False on pixels that are known to be bad, whose values are ignored.
    """
    tally = _Tally(stack, good)
    for part, values in stack.read_parts():
        tally.add(part, values)
    number = np.maximum(tally.finite_number, 1)
    return StoredValues(
        kind=str(stack.dtype),
        patterns=len(stack),
        frame=stack.frame,
        good=good,
        mean=tally.total / number,
        mean_square=tally.squares / number,
        totals=tally.totals,
        least=tally.least,
        largest=float(tally.highest[-1]) if len(tally.highest) else 0.0,
        at_largest=int(tally.times[-1]) if len(tally.times) else 0,
        near_largest=int(tally.times[:-1].sum()),
        copies=tally.find_copies(),
        quantum=find_quantum(tally.lowest),
        not_finite=tally.not_finite,
        negative=tally.negative,
    )


def _take_lowest(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.unique(values[values > 0])[:_MOST_VALUES]


def find_quantum(values: NDArray[np.float64]) -> Quantum | None:
    """Find the form in which photons were stored from distinct positive values, ascending; None if it does not show."""
    forms: tuple[tuple[Form, NDArray[np.float64]], ...] = (
        ("counts", values),
        ("amplitude", values**2),
        ("log", np.expm1(np.minimum(values, 80))),
        ("log10", np.expm1(np.minimum(values * np.log(10), 80))),
    )
    rounded = _find_rounded_step(values)
    if rounded is not None:
        return Quantum("counts", rounded)
    for units, converted in forms:
        step = _find_step(converted)
        # a logarithm of anything but whole counts has no form of its own
        if step is not None and (units in ("counts", "amplitude") or abs(step - 1) < 1e-3):
            return Quantum(units, round(step) if abs(step - round(step)) < 1e-4 * step else step)
    return None


def _find_step(values: NDArray[np.float64]) -> float | None:
    """The number of which all values are multiples, if most of its low multiples occur."""
    if len(values) < _FEWEST_VALUES:
        return None
    low = values[:_LOWEST_VALUES]
    gaps = np.diff(low, prepend=0.0)
    gaps = gaps[gaps > 1e-5 * low]
    if not len(gaps):
        return None
    step = float(gaps.min())
    if len(low) < _LEAST_OCCUPIED * (low[-1] - low[0]) / step:
        return None
    # the error of a step grows with the multiple: it is refined from small multiples to large ones
    for length in (_FEWEST_VALUES, 20, 60, len(low)):
        multiples = np.round(low[:length] / step)
        step = float((low[:length] * multiples).sum() / np.square(multiples).sum())
    multiples = np.round(low / step)
    off = np.abs(low / step - multiples) > _OFF_MULTIPLE + 3e-6 * multiples
    return None if off.mean() > 0.02 else step


def _find_rounded_step(values: NDArray[np.float64]) -> float | None:
    """The value of one photon if multiples of it were rounded to whole numbers, so that others do not occur."""
    low = values[:_ROUNDED_VALUES]
    if len(low) < _ROUNDED_VALUES or not (low == np.round(low)).all():
        return None
    numbers = np.arange(1, len(low) + 1)
    step = float(low @ numbers / np.square(numbers).sum())
    off = np.abs(low - step * numbers)
    is_gain = step > _LEAST_ROUNDED_STEP and abs(step - round(step)) > _OFF_MULTIPLE
    return step if is_gain and (off <= _ROUNDING).all() else None
