"""Reconstruction of a scan without a network: choose a solver, run it, remove what patterns leave undetermined."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptycho_torch.config import RefineSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError, DivergenceError
from ptycho_torch.physics.propagate import unwrap
from ptycho_torch.runtime.progress import Progress
from ptycho_torch.runtime.ranks import ALONE, Ranks
from ptycho_torch.solve.background import refine_background
from ptycho_torch.solve.centre import refine_centre
from ptycho_torch.solve.constraints import keep_ramp, level_phase
from ptycho_torch.solve.defaults import find_damping, find_method, find_probe_share
from ptycho_torch.solve.least_squares import LeastSquares
from ptycho_torch.solve.poisson import PoissonAdam
from ptycho_torch.solve.positions import refine_positions
from ptycho_torch.solve.probe_guess import guess_probe
from ptycho_torch.solve.safeguard import run_safeguarded
from ptycho_torch.solve.scan_model import Correction, Misfit, ScanModel, Solution
from ptycho_torch.solve.solver import Solver
from ptycho_torch.solve.watch import is_significantly_worse

_log = logging.getLogger(__name__)

_WARM_UP_SHARE = 1 / 3

Correct = Callable[[Scan, RefineSettings, torch.device, Ranks], tuple[Scan, dict[str, float]]]


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
    """Reconstruct object and probe from a scan, and correct the scan as far as the settings ask for it.

    Each correction is followed by a reconstruction of its own, and kept if that predicts held-out pixels significantly
    better. One that leads to values without sense is left out, with a remark.

    Several processes divide the patterns of each mini-batch and add their updates, so that all of them hold the same
    object and probe.

    Args:
        scan: patterns and positions.
        settings: solver, epochs, step sizes, corrections, seed.
        guess: object to start from; vacuum without one.
        probe: (mode, h, w) probe to start from; without one the scan's own, or one found from the patterns.
        device: where to compute.
        ranks: the place of this process; all of them must call this.
        progress: called after each epoch of the first reconstruction with its number from 1 and R over it.

    Raises:
        DivergenceError: values became non-finite.
    """
    place = torch.device(device)
    scan = scan if probe is None else replace(scan, probe=probe)
    is_guessed, remarks = scan.probe is None, []
    if is_guessed:
        remarks.append("no probe was given; it was found from the patterns")
        _log.info(remarks[0])
        scan, _ = guess_probe(scan, settings, place, ranks)
    found, deviance = _reconstruct(scan, settings, guess, place, ranks, progress)
    if is_guessed:
        found = replace(found, scan=scan)
    for name, correct in _choose_corrections(settings, is_guessed=is_guessed).items():
        _log.info("refining %s", name)
        try:
            corrected, figures = correct(found.scan or scan, settings, place, ranks)
            tried, other = _reconstruct(corrected, settings, None, place, ranks, None)
        except (DataError, DivergenceError) as error:
            remarks.append(f"{name}: not corrected, as no result was found ({error})")
            _log.info(remarks[-1])
            continue
        is_kept = is_significantly_worse(deviance, other)
        correction = Correction(name, found.free_error, tried.free_error, is_kept, figures)
        _log.info("%s", correction)
        corrections = (*found.corrections, correction)
        if is_kept:
            found, deviance = replace(tried, scan=corrected), other
        found = replace(found, corrections=corrections)
    return replace(found, remarks=(*remarks, *found.remarks))


def _choose_corrections(settings: RefineSettings, *, is_guessed: bool) -> dict[str, Correct]:
    """The corrections that the settings ask for, by name, in their order; no probe is guessed twice."""
    if not settings.held_out:
        return {}
    asked: dict[str, tuple[bool, Correct]] = {
        "probe": (settings.probe_guess == "patterns" and not is_guessed, guess_probe),
        "detector centre": (settings.detector_centre, refine_centre),
        "background": (settings.refine_background != "given", refine_background),
        "positions": (settings.refine_positions != "given", refine_positions),
    }
    return {name: correct for name, (is_asked, correct) in asked.items() if is_asked}


def _reconstruct(
    scan: Scan,
    settings: RefineSettings,
    guess: Canvas | None,
    device: torch.device,
    ranks: Ranks,
    progress: Progress | None,
) -> tuple[Solution, Tensor]:
    """Reconstruct object and probe; also returns the deviance (pattern,) of held-out pixels."""
    model = ScanModel(scan, device, ranks, held_out_share=settings.held_out, seed=settings.seed)
    canvas, given = model.start_object(guess), model.start_probe(None, settings.probe_modes)
    method = find_method(model, given) if settings.method == "auto" else settings.method
    history = _History(settings, progress)
    # long-range phase converges much faster by least squares
    quick = settings.epochs if method == "least_squares" else round(settings.epochs * _WARM_UP_SHARE)
    last: Solver | None = None
    if quick:
        usual = settings if method == "least_squares" else _warm_up(settings, quick, model, given)
        last = LeastSquares(model, canvas, given, usual)
        history.run(last, quick, watched=quick == settings.epochs)
    if quick < settings.epochs:
        rest = replace(settings, epochs=settings.epochs - quick)
        second = PoissonAdam(model, *(last.state() if last else (canvas, given)), rest)
        history.run(second, rest.epochs, watched=True)
        if last and settings.method == "auto" and history.prefers(last, second):
            method = "least_squares"
        else:
            last = second
    assert last is not None
    misfit = last.measure().misfit
    canvas, probe = last.state()
    if settings.probe_start < 1:
        canvas, probe = keep_ramp(canvas, probe, given)
        canvas, probe = level_phase(canvas, probe, model.total_illumination(probe))
    solution = Solution(
        model.to_canvas(canvas),
        unwrap(probe).cpu().numpy(),
        tuple(history.errors),
        method,
        tuple(history.free_errors) if settings.held_out else (),
        tuple(history.remarks),
        free_error=misfit.free_error if settings.held_out else math.nan,
    )
    return solution, misfit.free_deviance


class _History:
    """R and R free of each epoch of a run, perhaps by several solvers, and what there is to say of them."""

    def __init__(self, settings: RefineSettings, progress: Progress | None) -> None:
        self.errors: list[float] = []
        self.free_errors: list[float] = []
        self.remarks: list[str] = []
        self._settings = settings
        self._progress = progress

    def run(self, solver: Solver, epochs: int, *, watched: bool) -> None:
        before, settings = len(self.errors), self._settings
        watch = run_safeguarded(solver, epochs, self._see, settings.patience if watched and settings.held_out else None)
        if watch.is_over:
            best = before + watch.best_number + 1
            self.remarks.append(
                f"stopped after epoch {len(self.errors)} of {settings.epochs}: epochs after {best} fit noise"
            )
            _log.info(self.remarks[-1])
            if self._progress:
                self._progress(settings.epochs, None)

    def prefers(self, first: Solver, second: Solver) -> bool:
        """Whether the first of two solvers predicts held-out pixels better, by more than chance."""
        if not self._settings.held_out:
            return False
        better = is_significantly_worse(*(solver.measure().misfit.free_deviance for solver in (second, first)))
        if better:
            self.remarks.append("least squares predicts held-out pixels better than poisson, whose epochs are dropped")
            _log.info(self.remarks[-1])
        return better

    def _see(self, misfit: Misfit) -> None:
        self.errors.append(misfit.error)
        self.free_errors.append(misfit.free_error)
        if self._progress:
            self._progress(len(self.errors), self.errors[-1])


def _warm_up(settings: RefineSettings, epochs: int, model: ScanModel, probe: Tensor) -> RefineSettings:
    """The settings of least squares before the Poisson solver, which removes the noise again."""
    return replace(
        settings,
        epochs=epochs,
        regularisation=settings.regularisation or find_damping(model, probe, before_likelihood=True),
        probe_rate=settings.probe_rate * find_probe_share(model),
    )
