"""Whether a reconstruction can be trusted, in one sentence.

A low R is not enough: without overlap every pattern is explained for itself, and a probe that is free takes up errors
of the object. What is held against a result is how much of that in which the patterns differ it leaves unexplained,
how many patterns tell of each pixel, and how far the probe went from the one given. Positions of which both signs are
wrong fit the twin object O*(−r) with the probe P*(−r): they show in the probe, unless it is its own twin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.residual import Residual, residual
from ptycho_torch.physics.patches import scatter
from ptycho_torch.physics.propagate import intensity, wrapped_far_field, wrapped_near_field
from ptycho_torch.solve.scan_model import ScanModel

# on simulated scans: good ones leave at most .041, or .033 where the probe changed; spoilt ones mostly more than .1
_MOST_UNEXPLAINED, _HOPELESS = 0.05, 0.9
_MOST_UNEXPLAINED_BY_OTHER_PROBE, _SAME_PROBE = 0.04, 0.998
_LEAST_PATTERNS = 1.35
_COPIES = 0.1
_LEAST_LIKENESS = 0.88
_TWIN_MARGIN = 0.1
_BATCH = 64


@dataclass(frozen=True)
class Verdict:
    """What to think of a reconstruction.

    Attributes:
        word: the verdict.
        reasons: why it is not good.
        figures: what it was found from, by name.
    """

    word: Literal["good", "doubtful", "failed"]
    reasons: tuple[str, ...]
    figures: dict[str, float]

    def __str__(self) -> str:
        """One sentence."""
        return self.word if not self.reasons else f"{self.word} because {' and '.join(self.reasons)}"


def judge(scan: Scan, probe: NDArray[np.complex64], found: Residual, given: NDArray[np.complex64] | None) -> Verdict:
    """Judge a reconstruction.

    Args:
        scan: the data.
        probe: (mode, h, w) the probe that was found.
        found: R of the reconstruction, and its floor.
        given: the probe that the search started from; the scan's own without one.
    """
    model = ScanModel(scan, torch.device("cpu"))
    start, end = model.start_probe(given, len(probe)), model.start_probe(probe, len(probe))
    # an empty object gives every pattern alike: a probe that moves by part of a pixel only turns phases
    empty = _residual_of(model, model.expected(model.start_object(None), start, model.patterns[:1])[0])
    mean_pattern = model.counts.mean(0)
    mean = _residual_of(model, mean_pattern)
    floor = _floor_of(model, mean_pattern)
    to_explain = mean**2 - floor**2
    alike = to_explain <= 1e-3 * mean**2
    unexplained = 0.0 if alike else (found.value**2 - found.floor**2) / to_explain
    as_given, as_twin = _overlaps(start[0], end[0])
    figures = {
        "R_empty": empty,
        "R_mean_pattern": mean,
        "unexplained_share": unexplained,
        "patterns_per_pixel": _patterns_per_pixel(model, end),
        "probe_likeness": _likeness(start[0], end[0]),
        "probe_overlap": as_given,
        "twin_probe_overlap": as_twin,
    }
    # copies of one pattern have not even noise between them: their mean explains them whatever the object is
    bar = empty if mean < _COPIES * floor else min(empty, mean)
    if not found.value < bar or unexplained > _HOPELESS:
        reason = "it explains the patterns no better than an empty object or their mean does"
        return Verdict("failed", (reason,), figures)
    reasons = []
    if alike:
        reasons.append("the patterns are alike but for their noise, which tells nothing of an object")
    # a probe that is free takes up part of what wrong positions leave
    same = figures["probe_likeness"] > _SAME_PROBE
    if unexplained > (_MOST_UNEXPLAINED if same else _MOST_UNEXPLAINED_BY_OTHER_PROBE):
        reasons.append(
            f"{unexplained:.0%} of what differs between the patterns stays unexplained (check positions, their unit, "
            "sign and axes, and the geometry)"
        )
    if figures["patterns_per_pixel"] < _LEAST_PATTERNS:
        reasons.append("the patterns hardly overlap")
    if figures["probe_likeness"] < _LEAST_LIKENESS:
        reasons.append("the probe found has little in common with the one given")
    if as_twin > as_given + _TWIN_MARGIN:
        reasons.append("the probe found is the mirrored conjugate of the one given (check both signs of the positions)")
    return Verdict("doubtful" if reasons else "good", tuple(reasons), figures)


def _residual_of(model: ScanModel, pattern: torch.Tensor) -> float:
    """R of one pattern for all, at the measured photons."""
    scaled = pattern * (model.counts.sum() / (pattern.sum() * len(model.counts)))
    parts = model.patterns.split(_BATCH)
    squared = sum(float(model.squared_misfit(scaled.expand(len(part), -1, -1), part)) for part in parts)
    return (squared / float(model.counts.sum())) ** 0.5


def _floor_of(model: ScanModel, pattern: torch.Tensor) -> float:
    same = pattern.expand(min(_BATCH, len(model.counts)), -1, -1)
    return residual([(same, same)], torch.Generator(model.device).manual_seed(0)).floor


def _patterns_per_pixel(model: ScanModel, probe: torch.Tensor) -> float:
    """Effective number of patterns that tell of a pixel, (ΣD)²/ΣD², weighted by its light; 1 without overlap."""
    squared_spot = intensity(probe).square()
    light, squares = torch.zeros(model.frame.shape_px), torch.zeros(model.frame.shape_px)
    for part in model.patterns.split(_BATCH):
        light += model.illumination(probe, part)
        squares += scatter(squared_spot.expand(len(part), -1, -1), model.index(part), model.frame.shape_px)
    number = light.square() / squares.clamp_min(torch.finfo(squares.dtype).tiny)
    return float((number * light).sum() / light.sum())


def _likeness(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first.abs() * second.abs()).sum() / (torch.linalg.norm(first) * torch.linalg.norm(second)))


def _overlaps(given: torch.Tensor, found: torch.Tensor) -> tuple[float, float]:
    """Largest |correlation| over all whole shifts of a wrapped wave with the one given, and with its twin P*(−r)."""
    first, second = wrapped_far_field(given), wrapped_far_field(found)
    scale = given.shape[-1] / float(torch.linalg.norm(given) * torch.linalg.norm(found))
    # the spectrum of P*(−r) is the conjugate of that of P
    as_given, as_twin = (wrapped_near_field(second * other).abs().max() for other in (first.conj(), first))
    return float(as_given) * scale, float(as_twin) * scale
