"""Whether a reconstruction can be trusted, in one sentence.

A low R is not enough: without overlap every pattern is explained for itself, and a probe that is free takes up errors
of the object. What is held against a result is how much of that in which the patterns differ it leaves unexplained,
how many patterns tell of each pixel, and how far the probe went from the one given.
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
from ptycho_torch.physics.propagate import intensity
from ptycho_torch.solve.scan_model import ScanModel

# on simulated scans: good ones leave at most .02, spoilt ones mostly more than .1
_MOST_UNEXPLAINED, _HOPELESS = 0.05, 0.9
_LEAST_PATTERNS = 1.35
_LEAST_LIKENESS = 0.88


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
    empty = _residual_of(model, model.expected(model.start_object(None), start, model.patterns))
    mean = _residual_of(model, model.counts.mean(0).expand_as(model.counts))
    to_explain = mean.value**2 - mean.floor**2
    unexplained = (found.value**2 - found.floor**2) / max(to_explain, 1e-3 * mean.value**2)
    figures = {
        "R_empty": empty.value,
        "R_mean_pattern": mean.value,
        "unexplained_share": unexplained,
        "patterns_per_pixel": _patterns_per_pixel(model, end),
        "probe_likeness": _likeness(start[0], end[0]),
    }
    if not found.value < min(empty.value, mean.value) or unexplained > _HOPELESS:
        reason = "it explains the patterns no better than an empty object or their mean does"
        return Verdict("failed", (reason,), figures)
    reasons = []
    if unexplained > _MOST_UNEXPLAINED or to_explain <= 0:
        reasons.append(
            f"{unexplained:.0%} of what differs between the patterns stays unexplained (check positions, their unit, "
            "sign and axes, and the geometry)"
        )
    if figures["patterns_per_pixel"] < _LEAST_PATTERNS:
        reasons.append("the patterns hardly overlap")
    if figures["probe_likeness"] < _LEAST_LIKENESS:
        reasons.append("the probe found has little in common with the one given")
    return Verdict("doubtful" if reasons else "good", tuple(reasons), figures)


def _residual_of(model: ScanModel, expected: torch.Tensor) -> Residual:
    scaled = expected * (model.counts.sum() / expected.sum())
    return residual([(scaled, model.counts)], torch.Generator(model.device).manual_seed(0))


def _patterns_per_pixel(model: ScanModel, probe: torch.Tensor) -> float:
    """Effective number of patterns that tell of a pixel, (ΣD)²/ΣD², weighted by its light; 1 without overlap."""
    light = model.illumination(probe, model.patterns)
    spots = intensity(probe).square().expand(len(model.patterns), -1, -1)
    squares = scatter(spots, model.index(model.patterns), model.frame.shape_px)
    number = light.square() / squares.clamp_min(torch.finfo(squares.dtype).tiny)
    return float((number * light).sum() / light.sum())


def _likeness(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first.abs() * second.abs()).sum() / (torch.linalg.norm(first) * torch.linalg.norm(second)))
