"""Whether a scan differs from the reference, and whether that matters.

Patterns of one scan are alike, so a test over patterns alone calls nearly every new sample different. A feature has
shifted only if three things hold: the two-sample test of Kolmogorov and Smirnov over patterns rejects (corrected for
the number of features: S. Holm, Scandinavian Journal of Statistics 6, 65 (1979)), the median of the scan lies outside
of what the medians of the reference scans predict (Student's t of a further scan, corrected likewise), and the
difference is larger than a given effect.

A shift matters if the network's error has grown. It is estimated from the contradiction between overlapping patches and
the misfit of the patterns, and has grown if the lower limit of the estimate, given how the reference scans differ among
each other, exceeds a given share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from ptycho_torch.config.drift import DriftSettings
from ptycho_torch.drift.features import FEATURES, ScanFeatures, Values
from ptycho_torch.drift.reference import Reference

Word = Literal["as before", "harmless shift", "drift"]
# how scans of one kind differ, as if seen in so many scans before those of the reference: medians of features in
# standard deviations of their patterns, and the logarithm of the error
_PRIOR_SCANS = 4
_PRIOR_FEATURE, _PRIOR_ERROR = 0.25, 0.08
_CONFIDENCE = 0.8


@dataclass(frozen=True)
class Shift:
    """A feature of a scan compared with the reference.

    Attributes:
        name: name of the feature.
        reference: mean of the medians of the reference scans.
        value: median of the scan.
        effect: their difference in standard deviations of the patterns of the reference.
        p_patterns: corrected probability of the two-sample test over patterns.
        p_scans: corrected probability that a further scan of the reference differs as much.
        is_shifted: whether the feature has shifted.
    """

    name: str
    reference: float
    value: float
    effect: float
    p_patterns: float
    p_scans: float
    is_shifted: bool


@dataclass(frozen=True)
class Judgement:
    """What was found about a scan.

    Attributes:
        scan: name of the scan.
        shifts: all features.
        growth: estimated growth of the network's error, as a share of that of the reference.
        least_growth: lower limit of the growth.
        word: `as before`, `harmless shift` or `drift`, which is a growth that matters.
    """

    scan: str
    shifts: tuple[Shift, ...]
    growth: float
    least_growth: float
    word: Word

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a program to read."""
        features = {
            shift.name: {
                "reference": shift.reference,
                "value": shift.value,
                "effect": shift.effect,
                "p_patterns": shift.p_patterns,
                "p_scans": shift.p_scans,
                "shifted": shift.is_shifted,
            }
            for shift in self.shifts
        }
        return {
            "scan": self.scan,
            "result": self.word,
            "growth": self.growth,
            "least_growth": self.least_growth,
            "features": features,
        }


def judge(reference: Reference, scan: ScanFeatures, settings: DriftSettings) -> Judgement:
    """Judge the features of a scan."""
    compared = {name: _compare(name, reference.scans, scan.values[name]) for name in FEATURES}
    patterns, scans = (_correct([found[part] for found in compared.values()]) for part in (2, 3))
    shifts = []
    for (name, (middle, effect, *_)), p_patterns, p_scans in zip(compared.items(), patterns, scans, strict=True):
        is_shifted = max(p_patterns, p_scans) < settings.level and abs(effect) >= settings.least_effect
        value = float(np.median(scan.values[name]))
        shifts.append(Shift(name, middle, value, effect, p_patterns, p_scans, is_shifted))
    growth, least = _estimate_growth([one.error for one in reference.scans], scan.error)
    word: Word = "as before"
    if least > settings.growth:
        word = "drift"
    elif any(shift.is_shifted for shift in shifts):
        word = "harmless shift"
    return Judgement(scan.name, tuple(shifts), growth, least, word)


def _compare(name: str, scans: Sequence[ScanFeatures], values: Values) -> tuple[float, float, float, float]:
    """Mean median of the reference scans, effect, and the probabilities over patterns and over scans."""
    known = [scan.values[name] for scan in scans]
    medians = np.array([np.median(one) for one in known])
    middle = float(medians.mean())
    deviation = max(float(np.sqrt(np.mean([np.var(one) for one in known]))), 1e-9)
    difference = float(np.median(values)) - middle
    p_patterns = float(stats.ks_2samp(np.concatenate(known), values).pvalue)
    scatter, freedom = _estimate_scatter(medians, _PRIOR_FEATURE * deviation)
    t = abs(difference) / (scatter * math.sqrt(1 + 1 / len(known)))
    return middle, difference / deviation, p_patterns, float(2 * stats.t.sf(t, freedom))


def _estimate_growth(errors: Sequence[float], error: float) -> tuple[float, float]:
    """Growth of the error and its lower limit."""
    known = np.log(errors)
    growth = math.log(error) - float(known.mean())
    scatter, freedom = _estimate_scatter(known, _PRIOR_ERROR)
    margin = float(stats.t.ppf(_CONFIDENCE, freedom)) * scatter * math.sqrt(1 + 1 / len(known))
    return math.exp(growth) - 1, math.exp(growth - margin) - 1


def _estimate_scatter(values: Values, prior: float) -> tuple[float, int]:
    """Standard deviation between scans and its degrees of freedom, if `prior` was that of some scans before."""
    squares = float(np.square(values - values.mean()).sum()) + _PRIOR_SCANS * prior**2
    freedom = len(values) - 1 + _PRIOR_SCANS
    return math.sqrt(squares / freedom), freedom


def _correct(probabilities: Sequence[float]) -> list[float]:
    """Probabilities that may be compared with one level although there are several, by Holm's method."""
    corrected = [0.0] * len(probabilities)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(probabilities)), key=probabilities.__getitem__)):
        highest = max(highest, min(1.0, probabilities[place] * (len(probabilities) - rank)))
        corrected[place] = highest
    return corrected
