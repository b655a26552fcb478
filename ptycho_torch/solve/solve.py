"""From a scan to an object without a network: choose a solver, run it, tidy up."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptycho_torch.config.schema import RefineSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.runtime.progress import Progress
from ptycho_torch.solve.constraints import keep_ramp, level_phase
from ptycho_torch.solve.least_squares import LeastSquares
from ptycho_torch.solve.poisson import PoissonAdam
from ptycho_torch.solve.scan_model import Problem, Solution

LOW_DOSE_PHOTONS = 1e5
_WARM_UP_SHARE = 1 / 3
_WARM_UP_REGULARISATION = 0.2


class _Solver(Protocol):
    @property
    def canvas(self) -> Tensor: ...
    @property
    def probe(self) -> Tensor: ...
    def epoch(self, number: int) -> float: ...


def chosen_method(settings: RefineSettings, photons_per_pattern: float) -> Literal["least_squares", "poisson"]:
    """The solver that 'auto' stands for at this dose."""
    if settings.method != "auto":
        return settings.method
    return "poisson" if photons_per_pattern < LOW_DOSE_PHOTONS else "least_squares"


@torch.no_grad()
def refine(
    scan: Scan,
    settings: RefineSettings,
    *,
    guess: Canvas | None = None,
    probe: NDArray[np.complex64] | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Solution:
    """Reconstruct object and probe from a scan.

    Args:
        scan: patterns and positions.
        settings: solver, epochs, steps, seed.
        guess: object to start from; empty space without one.
        probe: (mode, h, w) probe to start from; the scan's own without one.
        device: where to compute.
        progress: called after each epoch with its number from 1 and R over it.

    Raises:
        DataError: there is no probe to start from.
        DivergenceError: the solver met a value that is not finite.
    """
    problem = Problem(scan, torch.device(device))
    canvas, start = problem.start_object(guess), problem.start_probe(probe, settings.probe_modes)
    given = start
    errors: list[float] = []

    def run(solver: _Solver, first: int, epochs: int) -> tuple[Tensor, Tensor]:
        for number in range(first, first + epochs):
            errors.append(solver.epoch(number))
            if progress:
                progress(len(errors), errors[-1])
        return solver.canvas, solver.probe

    if chosen_method(settings, problem.photons_per_pattern) == "least_squares":
        canvas, start = run(LeastSquares(problem, canvas, start, settings), 0, settings.epochs)
    else:
        # long-range phase settles much faster by least squares; strong damping keeps its noise away
        warm_up = round(settings.epochs * _WARM_UP_SHARE)
        quick = replace(settings, epochs=max(warm_up, 1), regularisation=_WARM_UP_REGULARISATION)
        canvas, start = run(LeastSquares(problem, canvas, start, quick), 0, warm_up)
        rest = replace(settings, epochs=settings.epochs - warm_up)
        canvas, start = run(PoissonAdam(problem, canvas, start, rest), 0, rest.epochs)
    if settings.probe_start < 1:
        canvas, start = keep_ramp(canvas, start, given)
        light = problem.illumination(start, torch.arange(len(scan), device=problem.device))
        canvas, start = level_phase(canvas, start, light)
    return problem.solution(canvas, start, errors)
