"""Whether a reconstruction can be trusted, in one sentence.

A low R is not enough: without overlap every pattern can be fitted on its own, and a free probe absorbs errors of the
object. A result is therefore judged by the share of the differences between patterns that it leaves unexplained, by how
many patterns constrain each pixel, and by how far the probe has moved from the given one. Positions with both signs
wrong fit the twin object O*(−r) with the probe P*(−r), which shows in the probe unless it is its own twin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.residual import Residual, residual
from ptycho_torch.physics.propagate import propagate_back_wrapped, propagate_wrapped, sum_intensities
from ptycho_torch.runtime.ranks import ALONE, Ranks
from ptycho_torch.solve.scan_model import ScanModel

# on simulated scans good runs leave at most .041 unexplained, or .033 if the probe changed; spoilt ones mostly over .1
_MOST_UNEXPLAINED, _HOPELESS = 0.05, 0.9
_MOST_UNEXPLAINED_BY_OTHER_PROBE, _SAME_PROBE = 0.04, 0.998
_LEAST_PATTERNS = 1.35
_COPIES = 0.1
_LEAST_LIKENESS = 0.88
_TWIN_MARGIN = 0.1
_BATCH = 64


@dataclass(frozen=True)
class Verdict:
    """Whether a reconstruction can be trusted.

    Attributes:
        word: the verdict.
        reasons: why it is not good.
        figures: the numbers on which it rests, by name.
    """

    word: Literal["good", "doubtful", "failed"]
    reasons: tuple[str, ...]
    figures: dict[str, float]

    def __str__(self) -> str:
        """One sentence."""
        return self.word if not self.reasons else f"{self.word} because {' and '.join(self.reasons)}"


def judge(
    scan: Scan,
    probe: NDArray[np.complex64],
    found: Residual,
    given: NDArray[np.complex64] | None,
    ranks: Ranks = ALONE,
) -> Verdict:
    """Judge a reconstruction.

    Args:
        scan: the data.
        probe: (mode, h, w) the reconstructed probe.
        found: R of the reconstruction, and its floor.
        given: the probe from which the solver started; None if that was the scan's own.
        ranks: the place of this process; all of them must call this.
    """
    model = ScanModel(scan, torch.device("cpu"), ranks)
    start, end = model.start_probe(given, len(probe)), model.start_probe(probe, len(probe))
    # an empty object gives every pattern alike: a probe that moves by part of a pixel only turns phases
    empty = _residual_of(model, model.expected(model.start_object(None), start, model.patterns[:1])[0])
    mean_pattern = model.mean_pattern()
    mean, floor = _residual_of(model, mean_pattern), _floor_of(model, mean_pattern)
    to_explain = mean**2 - floor**2
    alike = to_explain <= 1e-3 * mean**2
    as_given, as_twin = _overlaps(start[0], end[0])
    figures = {
        "R_empty": empty,
        "R_mean_pattern": mean,
        "unexplained_share": 0.0 if alike else (found.value**2 - found.floor**2) / to_explain,
        "patterns_per_pixel": _patterns_per_pixel(model, end),
        "probe_likeness": _likeness(start[0], end[0]),
        "probe_overlap": as_given,
        "twin_probe_overlap": as_twin,
    }
    # between copies of one pattern there is not even noise: their mean explains them whatever the object is
    bar = empty if mean < _COPIES * floor else min(empty, mean)
    if not found.value < bar or figures["unexplained_share"] > _HOPELESS:
        reason = "it explains the patterns no better than an empty object or their mean does"
        return Verdict("failed", (reason,), figures)
    reasons = tuple(_find_doubts(figures, alike=alike))
    return Verdict("doubtful" if reasons else "good", reasons, figures)


def _find_doubts(figures: Mapping[str, float], *, alike: bool) -> Iterator[str]:
    if alike:
        yield "the patterns differ only by noise and determine no object"
    # a refined probe absorbs part of what wrong positions leave unexplained
    same = figures["probe_likeness"] > _SAME_PROBE
    if figures["unexplained_share"] > (_MOST_UNEXPLAINED if same else _MOST_UNEXPLAINED_BY_OTHER_PROBE):
        yield (
            f"{figures['unexplained_share']:.0%} of the differences between the patterns remain unexplained (check the "
            "unit, signs and axes of the positions, the geometry, and whether the probe needs more modes)"
        )
    if figures["patterns_per_pixel"] < _LEAST_PATTERNS:
        yield "the patterns hardly overlap"
    if figures["probe_likeness"] < _LEAST_LIKENESS:
        yield "the reconstructed probe differs strongly from the given one"
    if figures["twin_probe_overlap"] > figures["probe_overlap"] + _TWIN_MARGIN:
        yield ("the reconstructed probe is the mirrored conjugate of the given one (check both signs of the positions)")


def _residual_of(model: ScanModel, pattern: torch.Tensor) -> float:
    """R if one pattern, scaled to the measured photons, is expected everywhere."""
    amplitude = (pattern * (model.total_counts / (pattern.sum() * len(model.scan)))).sqrt()
    parts = (model.load_counts(part) for part in model.own.split(_BATCH))
    own = sum(float((amplitude - counts.sqrt()).square().sum()) for counts in parts)
    squared = float(model.ranks.sum(torch.tensor(own, dtype=torch.float64)))
    return (squared / model.total_counts) ** 0.5


def _floor_of(model: ScanModel, pattern: torch.Tensor) -> float:
    same = pattern.expand(min(_BATCH, len(model.scan)), -1, -1)
    return residual([(same, same)], torch.Generator(model.device).manual_seed(0)).floor


def _patterns_per_pixel(model: ScanModel, probe: torch.Tensor) -> float:
    """Effective number of patterns per pixel, (ΣD)²/ΣD² weighted by the illumination D; 1 without overlap."""
    spot, (total, squares) = sum_intensities(probe), torch.zeros(2, *model.frame.shape_px)
    for part in model.own.split(_BATCH):
        total += model.spread(spot, part)
        squares += model.spread(spot.square(), part)
    total, squares = model.ranks.sum(total), model.ranks.sum(squares)
    number = total.square() / squares.clamp_min(torch.finfo(squares.dtype).tiny)
    return float((number * total).sum() / total.sum())


def _likeness(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first.abs() * second.abs()).sum() / (torch.linalg.norm(first) * torch.linalg.norm(second)))


def _overlaps(given: torch.Tensor, found: torch.Tensor) -> tuple[float, float]:
    """Largest |correlation| over all pixel shifts of a wrapped wave with the given one, and with its twin P*(−r)."""
    first, second = propagate_wrapped(given), propagate_wrapped(found)
    scale = given.shape[-1] / float(torch.linalg.norm(given) * torch.linalg.norm(found))
    # the spectrum of P*(−r) is the conjugate of that of P
    as_given, as_twin = (propagate_back_wrapped(second * other).abs().max() for other in (first.conj(), first))
    return float(as_given) * scale, float(as_twin) * scale
