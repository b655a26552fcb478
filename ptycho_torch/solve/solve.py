"""Reconstruction of a scan without a network: choose a solver, run it, remove what patterns leave undetermined."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptycho_torch.config.schema import RefineSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.runtime.progress import Progress
from ptycho_torch.runtime.ranks import ALONE, Ranks
from ptycho_torch.solve.constraints import keep_ramp, level_phase
from ptycho_torch.solve.defaults import find_damping, find_method, find_probe_share
from ptycho_torch.solve.least_squares import LeastSquares
from ptycho_torch.solve.poisson import PoissonAdam
from ptycho_torch.solve.safeguard import run_safeguarded
from ptycho_torch.solve.scan_model import ScanModel, Solution

_WARM_UP_SHARE = 1 / 3


def choose_method(
    settings: RefineSettings, scan: Scan, probe: NDArray[np.complex64] | None = None, ranks: Ranks = ALONE
) -> Literal["least_squares", "poisson"]:
    """Find the solver that a scan is reconstructed with; 'auto' depends on its photons and overlap.

    Args:
        settings: of the solver.
        scan: patterns and positions.
        probe: (mode, h, w) probe to start from; the scan's own without one.
        ranks: the place of this process; all of them must call this.

    Raises:
        DataError: there is no probe to start from.
    """
    if settings.method != "auto":
        return settings.method
    model = ScanModel(scan, torch.device("cpu"), ranks)
    return find_method(model, model.start_probe(probe, settings.probe_modes))


@torch.no_grad()
def refine(
    scan: Scan,
    settings: RefineSettings,
    *,
    guess: Canvas | None = None,
    probe: NDArray[np.complex64] | None = None,
    device: torch.device | str = "cpu",
    ranks: Ranks = ALONE,
    progress: Progress | None = None,
) -> Solution:
    """Reconstruct object and probe from a scan.

    Several processes divide the patterns of each mini-batch and add their updates, so that all of them hold the same
    object and probe.

    Args:
        scan: patterns and positions.
        settings: solver, epochs, step sizes, seed.
        guess: object to start from; vacuum without one.
        probe: (mode, h, w) probe to start from; the scan's own without one.
        device: where to compute.
        ranks: the place of this process; all of them must call this.
        progress: called after each epoch with its number from 1 and R over it.

    Raises:
        DataError: there is no probe to start from.
    """
    model = ScanModel(scan, torch.device(device), ranks)
    canvas, given = model.start_object(guess), model.start_probe(probe, settings.probe_modes)
    method = find_method(model, given) if settings.method == "auto" else settings.method
    errors: list[float] = []

    def report(error: float) -> None:
        errors.append(error)
        if progress:
            progress(len(errors), error)

    # long-range phase converges much faster by least squares
    quick = settings.epochs if method == "least_squares" else round(settings.epochs * _WARM_UP_SHARE)
    start = given
    if quick:
        usual = settings if method == "least_squares" else _warm_up(settings, quick, model, given)
        first = LeastSquares(model, canvas, given, usual)
        run_safeguarded(first, quick, report)
        canvas, start = first.canvas, first.probe
    if quick < settings.epochs:
        rest = replace(settings, epochs=settings.epochs - quick)
        second = PoissonAdam(model, canvas, start, rest)
        run_safeguarded(second, rest.epochs, report)
        canvas, start = second.canvas, second.probe
    if settings.probe_start < 1:
        canvas, start = keep_ramp(canvas, start, given)
        canvas, start = level_phase(canvas, start, model.total_illumination(start))
    return model.solution(canvas, start, errors, method)


def _warm_up(settings: RefineSettings, epochs: int, model: ScanModel, probe: Tensor) -> RefineSettings:
    """The settings of least squares before the Poisson solver, which removes the noise again."""
    return replace(
        settings,
        epochs=epochs,
        regularisation=settings.regularisation or find_damping(model, probe, before_likelihood=True),
        probe_rate=settings.probe_rate * find_probe_share(model),
    )
