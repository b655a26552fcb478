"""Whether one model is better than another, or differs from it no more than equal ones would.

The errors of both models are compared part by part, on the same parts of the same scans. If the models were equally
good, each difference would be as likely with the other sign; the sum of the differences is compared with the sums that
other signs give (R. A. Fisher, The Design of Experiments, 1935, section 21).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test

from ptycho_torch.config import RegistrySettings

# with so many scans each counts once, so that a difference must also hold for other scans; fewer must agree
ENOUGH_SCANS = 6
_DRAWS = 9999
_REASONS = {"chance": "within chance", "size": "as far as it matters", "scans": "since the scans contradict each other"}


@dataclass(frozen=True, eq=False)
class Errors:
    """Squared errors of two models on one scan.

    Attributes:
        parts: (part, 2) squared error of each model in each part of the scan.
        noise: squared error that photon noise alone gives the whole scan, the same for both.
    """

    parts: NDArray[np.float64]
    noise: float

    @property
    def totals(self) -> tuple[float, float]:
        """Squared error of each model beyond noise; not negative."""
        first, second = np.maximum(self.parts.sum(axis=0) - self.noise, 0.0).tolist()
        return first, second


@dataclass(frozen=True)
class Outcome:
    """How a second model compares with a first one.

    Attributes:
        word: the outcome.
        gain: share by which the second one's error is lower; negative if it is higher.
        reason: why they are called no different: equal models would differ as much, the difference is too small to
            matter, or one scan says the opposite of another.
        probability: that equal models would differ as much.
        unit: what was compared one by one.
        units: how many of them.
    """

    word: Literal["better", "worse", "no different"]
    gain: float
    reason: Literal["", "chance", "size", "scans"]
    probability: float
    unit: Literal["scans", "parts of scans"]
    units: int

    def describe(self, first: str, second: str) -> str:
        """One sentence about the two models of these names."""
        change = f"its error is {abs(self.gain):.1%} {'lower' if self.gain > 0 else 'higher'}"
        chance = f"equal models would differ as much with p = {self.probability:.2g} on {self.units} {self.unit}"
        if self.word == "no different":
            return f"{second} is no different from {first} {_REASONS[self.reason]}: {change}; {chance}"
        return f"{second} is {self.word} than {first}: {change}; {chance}"


def compare_errors(scans: Sequence[Errors], settings: RegistrySettings) -> Outcome:
    """Compare two models by their errors on the same scans.

    Args:
        scans: errors of both on each scan.
        settings: probability and gain from which a difference counts.
    """
    shares = [_share_differences(errors) for errors in scans]
    by_scan = len(scans) >= ENOUGH_SCANS
    units = np.array([share.sum() for share in shares]) if by_scan else np.concatenate(shares)
    probability = _find_probability(units)
    gain = _find_gain(scans)
    gains = [_find_gain([errors]) for errors in scans]
    word: Literal["better", "worse", "no different"] = "no different"
    reason: Literal["", "chance", "size", "scans"] = ""
    # the sum that was tested and the gain must have the same sign
    if probability >= settings.chance or units.sum() * gain <= 0:
        reason = "chance"
    elif abs(gain) < settings.least_gain:
        reason = "size"
    elif not by_scan and any(each * gain < 0 and abs(each) >= settings.least_gain for each in gains):
        reason = "scans"
    else:
        word = "better" if gain > 0 else "worse"
    return Outcome(word, gain, reason, probability, "scans" if by_scan else "parts of scans", len(units))


def _share_differences(errors: Errors) -> NDArray[np.float64]:
    """How much lower the second model's error is in each part, relative to the mean of both on the scan."""
    scale = sum(errors.totals) / 2
    differences: NDArray[np.float64] = errors.parts[:, 0] - errors.parts[:, 1]
    return differences / scale if scale > 0 else np.zeros_like(differences)


def _find_gain(scans: Sequence[Errors]) -> float:
    """1 − the geometric mean over the scans of the ratio of the errors, not squared."""
    ratios = [second / first for first, second in (errors.totals for errors in scans) if first > 0 and second > 0]
    return 1 - float(np.exp(np.mean(np.log(ratios)) / 2)) if ratios else 0.0


def _find_probability(differences: NDArray[np.float64]) -> float:
    """Probability that random signs give a sum at least as far from zero."""
    if len(differences) < 2 or not differences.any():
        return 1.0
    found = permutation_test(
        (differences,),
        lambda values, axis: values.sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_DRAWS,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)
