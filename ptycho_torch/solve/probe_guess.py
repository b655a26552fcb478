"""A probe from the patterns alone: √ of their mean as far field, with the defocus that explains them best.

Where the sample scatters weakly, the mean pattern is the far field of the probe, but for its phase. That of a lens out
of focus is π·z·q², which spreads a spatial frequency q by z·q pixels. Several z, of both signs, are tried in short runs
that refine object and probe; the one that predicts held-out pixels best is run again for longer.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ptycho_torch.config import RefineSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DivergenceError
from ptycho_torch.physics.propagate import propagate_back_wrapped, unwrap
from ptycho_torch.runtime.ranks import Ranks
from ptycho_torch.solve.least_squares import run_least_squares
from ptycho_torch.solve.scan_model import ScanModel

_MOST_PATTERNS = 256
# defocus relative to the one whose spread fills the patch
_SPREADS = (0.0, 0.06, 0.12, 0.25, 0.5, 1.0)
_SHORT, _LONG = 8, 40
_BATCH = 64


@torch.no_grad()
def guess_probe(
    scan: Scan, settings: RefineSettings, device: torch.device, ranks: Ranks
) -> tuple[Scan, dict[str, float]]:
    """Find a probe from the patterns of a scan, whatever probe it has.

    Args:
        scan: patterns and positions.
        settings: of the solver.
        device: where to compute.
        ranks: the place of this process; all of them must call this.

    Returns:
        The scan with the probe, and figures: defocus z of the start in pixels, and how many starts were tried.

    Raises:
        DivergenceError: values became non-finite from every start.
    """
    part = _take_middle(scan)
    model = ScanModel(part, device, ranks, held_out_share=settings.held_out, seed=settings.seed)
    amplitude = _measure_mean_amplitude(model)
    tried = {}
    for defocus in _choose_defocus(amplitude):
        probe = _defocus(amplitude, defocus)
        with suppress(DivergenceError):
            tried[defocus], _ = _run(model, probe, settings, _SHORT)
    best = min(tried, key=tried.__getitem__, default=0.0)
    _, probe = _run(model, _defocus(amplitude, best), settings, _LONG)
    return replace(scan, probe=unwrap(probe).cpu().numpy()), {"defocus_px": best, "starts": float(len(tried))}


def _take_middle(scan: Scan) -> Scan:
    """The patterns nearest to the middle of the scan, as many as tell one start from another."""
    distance = np.linalg.norm(scan.positions_px - np.median(scan.positions_px, axis=0), axis=1)
    return scan.take(np.sort(np.argsort(distance, kind="stable")[:_MOST_PATTERNS]))


def _measure_mean_amplitude(model: ScanModel) -> Tensor:
    """√ of the mean pattern over fitted pixels; 0 where no pattern has one."""
    total, number = sums = torch.zeros(2, *model.good.shape, device=model.device)
    for patterns in model.own.split(_BATCH):
        fitted = model.fitted(patterns)
        total += (model.load_counts(patterns) * fitted).sum(0)
        number += fitted.sum(0)
    total, number = model.ranks.sum(sums)
    mean = total / number.clamp_min(1)
    return mean.sqrt() if model.background is None else (mean - model.background).clamp_min(0).sqrt()


def _measure_squared_frequency(amplitude: Tensor) -> Tensor:
    frequency = torch.fft.fftfreq(amplitude.shape[-1], device=amplitude.device)
    squared: Tensor = frequency[:, None].square() + frequency.square()
    return squared


def _choose_defocus(amplitude: Tensor) -> list[float]:
    """Defocus z in pixels, of both signs, up to the spread of the usual frequency over half of the patch."""
    power = amplitude.square()
    usual = float((power * _measure_squared_frequency(amplitude)).sum() / power.sum()) ** 0.5
    most = amplitude.shape[-1] / (2 * usual)
    return [sign * spread * most for spread in _SPREADS for sign in ((1, -1) if spread else (1,))]


def _defocus(amplitude: Tensor, defocus: float) -> Tensor:
    """The wrapped probe (1, h, w) whose far field has this amplitude and the phase π·z·q²."""
    phase = torch.pi * defocus * _measure_squared_frequency(amplitude)
    return propagate_back_wrapped(torch.polar(amplitude, phase))[None]


def _run(model: ScanModel, probe: Tensor, settings: RefineSettings, epochs: int) -> tuple[float, Tensor]:
    """Held-out deviance (R² without held-out pixels) and probe after some epochs from a flat object."""
    power = (model.scan.sample_photons_per_pattern / torch.view_as_real(probe).square().sum()).sqrt()
    rounds = replace(settings, method="least_squares", epochs=epochs, probe_start=0, probe_modes=1)
    epoch, _, found = run_least_squares(model, model.start_object(None), probe * power, rounds)
    return float(epoch.misfit.free_deviance.sum()) if model.held_out.per_pattern else epoch.objective, found
