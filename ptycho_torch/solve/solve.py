"""Reconstruction of a scan without a network: choose a solver, run it, remove what patterns leave undetermined."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptycho_torch.config import RefineSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError, DivergenceError
from ptycho_torch.runtime.interrupts import Interrupted
from ptycho_torch.runtime.progress import Progress
from ptycho_torch.runtime.ranks import ALONE, Ranks
from ptycho_torch.runtime.saved_state import UNSAVED, Stage, Values
from ptycho_torch.solve.background import refine_background
from ptycho_torch.solve.centre import refine_centre
from ptycho_torch.solve.constraints import keep_ramp, level_phase
from ptycho_torch.solve.corrected_scan import CorrectedScan
from ptycho_torch.solve.defaults import find_damping, find_method, find_probe_share
from ptycho_torch.solve.history import History
from ptycho_torch.solve.least_squares import LeastSquares
from ptycho_torch.solve.poisson import PoissonAdam
from ptycho_torch.solve.positions import refine_positions
from ptycho_torch.solve.probe_guess import guess_probe
from ptycho_torch.solve.scan_model import Correction, ScanModel, Solution
from ptycho_torch.solve.solver import Solver
from ptycho_torch.solve.state import pack_corrected, pack_solution, unpack_corrected, unpack_solution
from ptycho_torch.solve.watch import is_significantly_worse

_log = logging.getLogger(__name__)

_WARM_UP_SHARE = 1 / 3

# called after each epoch with what is reconstructed, the number of the epoch from 1, and a function that returns it
Show = Callable[[str, int, Callable[[], Solution]], None]
Correct = Callable[[Scan, RefineSettings, torch.device, Ranks], CorrectedScan]


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
    stage: Stage = UNSAVED,
    show: Show | None = None,
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
        stage: where the run is saved as it goes, and from which it goes on; its signals end the run with the best
            solution so far.
        show: called after each epoch.

    Raises:
        DivergenceError: values became non-finite.
        Interrupted: a signal asked the run to end before its first epoch was complete.
    """
    scan = scan if probe is None else replace(scan, probe=probe)
    work = _Work(scan, settings, torch.device(device), ranks, stage, show)
    found = stage.load(work.load)
    try:
        with stage.state.interrupts.allow():
            if found is None:
                found = work.start(guess, progress)
            for name, correct in work.choose_corrections().items():
                if name not in found.tried and not found.solution.interrupted:
                    found = work.correct(found, name, correct)
    except Interrupted as interruption:
        if found is None:
            raise
        found = found.interrupt(interruption)
    return replace(found.solution, remarks=(*found.remarks, *found.solution.remarks))


@dataclass(frozen=True)
class _Found:
    """What is known of a scan.

    Attributes:
        solution: the best reconstruction so far, without remarks on the run as a whole.
        deviance: (pattern,) deviance of held-out pixels.
        remarks: on the run as a whole.
        tried: names of the corrections that were tried.
    """

    solution: Solution
    deviance: Tensor
    remarks: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()

    def interrupt(self, interruption: Interrupted) -> _Found:
        """The same, marked as ended before its time."""
        remark = f"interrupted by {interruption.signal_name} before all corrections were tried"
        solution = replace(self.solution, interrupted=interruption.signal_name)
        return replace(self, solution=solution, remarks=(*self.remarks, remark))


@dataclass(frozen=True)
class _Work:
    """The reconstruction of a scan; see `refine`."""

    scan: Scan
    settings: RefineSettings
    device: torch.device
    ranks: Ranks
    stage: Stage
    show: Show | None

    def start(self, guess: Canvas | None, progress: Progress | None) -> _Found:
        """Reconstruct the scan as it was given, with a probe from its patterns if it has none."""
        scan, remarks, start = self.scan, [], guess
        if scan.probe is None:
            remarks.append("no probe was given; it was found from the patterns")
            _log.info(remarks[0])
            found = self._prepare("probe", guess_probe, scan)
            scan, start = found.scan, guess or found.start
        solution, deviance = self._reconstruct(scan, "first", start, progress)
        return self._keep(_Found(solution, deviance, tuple(remarks)))

    def correct(self, found: _Found, name: str, correct: Correct) -> _Found:
        """Try a correction, and take over what it leads to if that is better."""
        _log.info("refining %s", name)
        found = replace(found, tried=(*found.tried, name))
        try:
            corrected = self._prepare(name, correct, found.solution.scan or self.scan)
            tried, deviance = self._reconstruct(corrected.scan, f"with {name}", corrected.start, None)
        except (DataError, DivergenceError) as error:
            remark = f"{name}: not corrected, as no result was found ({error})"
            _log.info(remark)
            return self._keep(replace(found, remarks=(*found.remarks, remark)))
        if tried.interrupted:
            return found.interrupt(Interrupted(tried.interrupted))
        is_kept = is_significantly_worse(found.deviance, deviance)
        correction = Correction(name, found.solution.free_error, tried.free_error, is_kept, corrected.figures)
        _log.info("%s", correction)
        corrections = (*found.solution.corrections, correction)
        if is_kept:
            found = replace(found, solution=tried, deviance=deviance)
        return self._keep(replace(found, solution=replace(found.solution, corrections=corrections)))

    def choose_corrections(self) -> dict[str, Correct]:
        """The corrections that the settings ask for, by name, in their order; no probe is guessed twice."""
        settings = self.settings
        if not settings.held_out:
            return {}
        background, positions = (self.stage.part(name).part("rounds") for name in ("background", "positions"))
        asked: dict[str, tuple[bool, Correct]] = {
            "probe": (settings.probe_guess == "patterns" and self.scan.probe is not None, guess_probe),
            "detector centre": (settings.detector_centre, refine_centre),
            "background": (settings.refine_background != "given", partial(refine_background, stage=background)),
            "positions": (settings.refine_positions != "given", partial(refine_positions, stage=positions)),
        }
        return {name: correct for name, (is_asked, correct) in asked.items() if is_asked}

    def load(self, values: Values) -> _Found:
        """What `_keep` saved."""
        solution, deviance = unpack_solution(self.scan, values["solution"]), values["deviance"].to(self.device)
        return _Found(solution, deviance, tuple(values["remarks"]), tuple(values["tried"]))

    def _keep(self, found: _Found) -> _Found:
        solution = found.solution
        if not solution.interrupted:
            kept = {"solution": pack_solution(solution), "deviance": found.deviance}
            self.stage.finish({**kept, "remarks": list(found.remarks), "tried": list(found.tried)})
        return found

    def _prepare(self, name: str, correct: Correct, scan: Scan) -> CorrectedScan:
        """Correct a scan."""
        part = self.stage.part(name)
        found = part.load(partial(unpack_corrected, scan))
        if found is None:
            found = correct(scan, self.settings, self.device, self.ranks)
            part.finish(pack_corrected(found))
        return found

    def _reconstruct(
        self, scan: Scan, name: str, guess: Canvas | None, progress: Progress | None
    ) -> tuple[Solution, Tensor]:
        """Reconstruct object and probe; also returns the deviance (pattern,) of held-out pixels."""
        history = History(self.settings, progress, self.stage.part(name), self.show and partial(self.show, name))
        solution, deviance = _reconstruct(scan, self.settings, guess, self.device, self.ranks, history)
        return solution if scan is self.scan else replace(solution, scan=scan), deviance


def _reconstruct(
    scan: Scan,
    settings: RefineSettings,
    guess: Canvas | None,
    device: torch.device,
    ranks: Ranks,
    history: History,
) -> tuple[Solution, Tensor]:
    """Reconstruct object and probe; also returns the deviance (pattern,) of held-out pixels."""
    model = ScanModel(scan, device, ranks, held_out_share=settings.held_out, seed=settings.seed)
    canvas, given = model.start_object(guess), model.start_probe(None, settings.probe_modes)
    method = find_method(model, given) if settings.method == "auto" else settings.method
    # long-range phase converges much faster by least squares
    quick = settings.epochs if method == "least_squares" else round(settings.epochs * _WARM_UP_SHARE)
    solvers: list[Solver] = []
    interrupted = ""
    try:
        if quick:
            usual = settings if method == "least_squares" else _warm_up(settings, quick, model, given)
            solvers.append(LeastSquares(model, canvas, given, usual))
            history.run(solvers[0], quick, is_last=quick == settings.epochs)
        if quick < settings.epochs:
            rest = replace(settings, epochs=settings.epochs - quick)
            solvers.append(PoissonAdam(model, *(solvers[0].state() if solvers else (canvas, given)), rest))
            history.run(solvers[-1], rest.epochs, is_last=True)
    except Interrupted as interruption:
        if not history.errors:
            raise
        interrupted = interruption.signal_name
        history.note(f"interrupted by {interrupted} after epoch {len(history.errors)} of {settings.epochs}")
    last = solvers[-1]
    if len(solvers) > 1 and (settings.method == "auto" or interrupted) and history.prefers(*solvers):
        last = solvers[0]
    misfit = last.measure().misfit
    canvas, probe = last.state()
    if settings.probe_start < 1:
        canvas, probe = keep_ramp(canvas, probe, given)
        canvas, probe = level_phase(canvas, probe, model.total_illumination(probe))
    solution = history.describe(last, (canvas, probe))
    free_error = misfit.free_error if settings.held_out else math.nan
    return replace(solution, free_error=free_error, interrupted=interrupted), misfit.free_deviance


def _warm_up(settings: RefineSettings, epochs: int, model: ScanModel, probe: Tensor) -> RefineSettings:
    """The settings of least squares before the Poisson solver, which removes the noise again."""
    return replace(
        settings,
        epochs=epochs,
        regularisation=settings.regularisation or find_damping(model, probe, before_likelihood=True),
        probe_rate=settings.probe_rate * find_probe_share(model),
    )
