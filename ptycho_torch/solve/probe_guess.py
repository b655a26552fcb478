"""A probe from the patterns alone: several starts of two kinds, of which the best by held-out pixels go on.

Far field: where the sample scatters weakly, the mean pattern is the far field of the probe, but for its phase. That of
a lens out of focus is π·z·q², which spreads a spatial frequency q by z·q pixels; several z of both signs are tried.

Near field: an elliptic disc as wide as the probe, flat or curved, for beams behind an aperture, whose far field the
sample blurs. The differences between the patterns tell its width: the autocorrelation F⁻¹[n_k − ⟨n⟩] of an exit wave
extends as far as two points under the probe are apart, and where the phase varies little under the probe but much in
the sample, its mean square over the patterns is the autocorrelation of |P|², with twice its variance.

All starts are refined with a flat object for a few epochs; in each of several rounds those that predict held-out pixels
worst are dropped, and the others go on from where they are. Where all starts are wrong, the first epochs tell little.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ptycho_torch.config import RefineSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DivergenceError
from ptycho_torch.physics.propagate import propagate_back_wrapped, unwrap, wrap
from ptycho_torch.runtime.ranks import Ranks
from ptycho_torch.solve.corrected_scan import CorrectedScan
from ptycho_torch.solve.least_squares import LeastSquares, run_epochs
from ptycho_torch.solve.scan_model import ScanModel

_MOST_PATTERNS = 256
# defocus relative to the one whose spread fills the patch
_SPREADS = (0.0, 0.06, 0.12, 0.25, 0.5)
# diameter of a disc relative to the one of the measured width, and curvature relative to the one whose far field is as
# wide as the mean pattern; the width of a curved probe is measured too small
_DISCS = ((0.8, 0.0), (1.3, 0.0), (1.0, 0.5), (1.0, -0.5))
_NOISE = 0.05
_LEAST_WIDTH_PX, _LARGEST_WIDTH = 1.0, 0.2
# number of starts in each round, and the number of the epoch at which it ends
_ROUNDS = ((None, 8), (5, 20), (2, 40), (1, 80))
_BATCH = 64


@torch.no_grad()
def guess_probe(scan: Scan, settings: RefineSettings, device: torch.device, ranks: Ranks) -> CorrectedScan:
    """Find a probe from the patterns of a scan, whatever probe it has.

    Args:
        scan: patterns and positions.
        settings: of the solver.
        device: where to compute.
        ranks: the place of this process; all of them must call this.

    Returns:
        The scan with the probe, the object of its middle, and figures: defocus z in pixels or diameter and curvature of
        the start, and how many starts were tried.

    Raises:
        DivergenceError: values became non-finite from every start.
    """
    model = ScanModel(_take_middle(scan), device, ranks, held_out_share=settings.held_out, seed=settings.seed)
    rounds = replace(settings, method="least_squares", epochs=_ROUNDS[-1][1], probe_start=0, probe_modes=1)
    runs = [_Run(model, rounds, start) for start in _choose_starts(model)]
    first, number = 0, len(runs)
    for most, last in _ROUNDS:
        runs = sorted(runs, key=lambda run: run.deviance)[:most]
        for run in runs:
            with suppress(DivergenceError):
                run.advance(range(first, last))
        runs = [run for run in runs if run.end == last]
        if not runs:
            raise DivergenceError(
                "least squares diverged from every probe that was tried; raise RefineSettings.regularisation"
            )
        first = last
    best = runs[0]
    found = replace(scan, probe=unwrap(best.probe).cpu().numpy())
    return CorrectedScan(found, {**best.start.figures, "starts": float(number)}, model.to_canvas(best.canvas))


@dataclass(frozen=True, eq=False)
class _Start:
    """A wrapped probe (1, h, w) of any power to start from, and what describes it."""

    probe: Tensor
    figures: dict[str, float]


class _Run:
    """The refinement of a probe and a flat object, which may be continued.

    Attributes:
        start: the probe to start from.
        canvas: the object so far.
        probe: the wrapped probe (1, h, w) so far, in √photons.
        deviance: that of held-out pixels during the last epoch; R² without held-out pixels.
        end: number of epochs that were run.
    """

    def __init__(self, model: ScanModel, settings: RefineSettings, start: _Start) -> None:
        power = (model.scan.sample_photons_per_pattern / torch.view_as_real(start.probe).square().sum()).sqrt()
        self.start, self.probe = start, start.probe * power
        self.canvas, self.deviance, self.end = model.start_object(None), 0.0, 0
        self._model, self._settings, self._first_probe = model, settings, self.probe
        self._reached: dict[str, Any] | None = None

    def advance(self, numbers: range) -> None:
        """Go on with some epochs.

        Raises:
            DivergenceError: values became non-finite.
        """
        model = self._model
        solver = LeastSquares(model, model.start_object(None), self._first_probe, self._settings)
        if self._reached:
            solver.load(self._reached)
        epoch = run_epochs(solver, numbers)
        # a solver keeps tables of all patterns; what is needed to go on is much smaller
        self._reached, self.end = solver.dump(), numbers.stop
        self.canvas, self.probe = solver.state()
        self.deviance = float(epoch.misfit.free_deviance.sum()) if model.held_out.per_pattern else epoch.objective


def _take_middle(scan: Scan) -> Scan:
    """The patterns nearest to the middle of the scan, as many as tell one start from another."""
    distance = np.linalg.norm(scan.positions_px - np.median(scan.positions_px, axis=0), axis=1)
    return scan.take(np.sort(np.argsort(distance, kind="stable")[:_MOST_PATTERNS]))


def _choose_starts(model: ScanModel) -> Iterator[_Start]:
    """Probes of several kinds."""
    mean = _measure_mean_pattern(model)
    amplitude = (mean if model.background is None else (mean - model.background).clamp_min(0)).sqrt()
    squared = _square_distances(torch.fft.fftfreq(len(mean), device=mean.device))
    power = amplitude.square()
    usual = float((power * squared).sum() / power.sum()) ** 0.5
    # the usual frequency spreads over half of the patch
    most = len(mean) / (2 * usual)
    for spread in _SPREADS:
        for defocus in (spread * most, -spread * most) if spread else (0.0,):
            wave = torch.polar(amplitude, torch.pi * defocus * squared)
            yield _Start(propagate_back_wrapped(wave)[None], {"defocus_px": defocus})
    widths = _measure_widths(model, mean)
    # π·c·r² has the local frequency c·r
    full = usual / sum(width**2 for width in widths) ** 0.5
    for size, share in _DISCS:
        probe = _make_disc(len(mean), (4 * size * widths[0], 4 * size * widths[1]), share * full)
        figures = {"diameter_px": 2 * size * sum(widths), "curvature_per_px2": share * full}
        yield _Start(probe.to(mean.device), figures)


def _measure_mean_pattern(model: ScanModel) -> Tensor:
    """The mean of the fitted pixels; 0 where no pattern has one."""
    total, number = sums = torch.zeros(2, *model.good.shape, device=model.device)
    for patterns in model.own.split(_BATCH):
        fitted = model.fitted(patterns)
        total += (model.load_counts(patterns) * fitted).sum(0)
        number += fitted.sum(0)
    total, number = model.ranks.sum(sums)
    mean: Tensor = total / number.clamp_min(1)
    return mean


def _measure_widths(model: ScanModel, mean: Tensor) -> tuple[float, float]:
    """Standard deviations of |P|² along rows and columns in pixels, from the differences between the patterns."""
    total = torch.zeros_like(mean)
    for patterns in model.own.split(_BATCH):
        differences = (model.load_counts(patterns) - mean) * model.fitted(patterns)
        total += propagate_back_wrapped(torch.complex(differences, torch.zeros_like(differences))).abs().square().sum(0)
    # the noise of the counts is the same at all distances
    square = unwrap(model.ranks.sum(total)) / len(model.scan) - mean.mean()
    side = len(mean)
    far = square[: side // 8, : side // 8]
    weight = (square - torch.maximum(far.max(), _NOISE * square.max())).clamp_min(0)
    squared = (torch.arange(side, device=mean.device) - side // 2).square()
    power = weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
    widths = [float((weight.sum(axis) * squared).sum() / power / 2) ** 0.5 for axis in (1, 0)]
    rows, columns = (min(max(width, _LEAST_WIDTH_PX), _LARGEST_WIDTH * side) for width in widths)
    return rows, columns


def _square_distances(line: Tensor) -> Tensor:
    squared: Tensor = line[:, None].square() + line.square()
    return squared


def _make_disc(side: int, diameters_px: tuple[float, float], curvature: float) -> Tensor:
    """A wrapped elliptic disc (1, h, w) with soft edges, its diameters along rows and columns, and the phase π·c·r²."""
    line = torch.arange(side) - side // 2
    rows, columns = (2 * line / diameter for diameter in diameters_px)
    radius = (rows[:, None].square() + columns.square()).sqrt()
    amplitude = ((1 - radius) * min(diameters_px) / 2 + 0.5).clamp(0, 1)
    return wrap(torch.polar(amplitude, torch.pi * curvature * _square_distances(line.float())))[None]
