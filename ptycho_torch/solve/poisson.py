"""Poisson likelihood with total variation by Adam: for low doses, where least squares fits the noise."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fft import fft2

from ptycho_torch.config.schema import RefineSettings
from ptycho_torch.errors import DivergenceError
from ptycho_torch.physics.losses import poisson_deviance, total_variation
from ptycho_torch.physics.patches import gather
from ptycho_torch.physics.probe import probe_intensity
from ptycho_torch.solve.constraints import keep_centre, keep_power
from ptycho_torch.solve.scan_model import Problem

_LAST_RATE = 0.05


class PoissonAdam:
    """The solver's state: object and probe under Adam; `epoch` moves them.

    Args:
        problem: the scan.
        canvas: object to start from, (height, width) complex.
        probe: wrapped probe to start from, (mode, h, w) complex.
        settings: epochs, mini-batches, steps, weight of the total variation.
    """

    def __init__(self, problem: Problem, canvas: Tensor, probe: Tensor, settings: RefineSettings) -> None:
        self.problem = problem
        self._settings = settings
        self._start_probe = probe
        # Adam's step has the size of its rate whatever the gradient's: make one unit of the probe its usual amplitude
        self._unit = float(probe_intensity(probe).max().sqrt())
        self._canvas = torch.view_as_real(canvas).clone().requires_grad_()
        self._probe = torch.view_as_real(probe / self._unit).clone().requires_grad_()
        self._batches = problem.partition(settings.batches, settings.seed)
        self._order = torch.Generator().manual_seed(settings.seed + 1)
        self._probe_from = round(settings.probe_start * settings.epochs)
        self._adam = torch.optim.Adam(
            [
                {"params": [self._canvas], "lr": settings.learning_rate},
                {"params": [self._probe], "lr": settings.learning_rate / 10},
            ]
        )
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self._adam, settings.epochs, eta_min=settings.learning_rate * _LAST_RATE
        )

    @property
    def canvas(self) -> Tensor:
        """The object, (height, width) complex."""
        return torch.view_as_complex(self._canvas.detach())

    @property
    def probe(self) -> Tensor:
        """The wrapped probe, (mode, h, w) complex."""
        return torch.view_as_complex(self._probe.detach()) * self._unit

    def epoch(self, number: int) -> float:
        """Visit every pattern once; returns R over the epoch as it went.

        Raises:
            DivergenceError: the likelihood is not finite any more.
        """
        moves_probe = number >= self._probe_from
        self._probe.requires_grad_(moves_probe)
        squared = torch.zeros((), device=self._canvas.device)
        for batch in torch.randperm(len(self._batches), generator=self._order).tolist():
            squared += self._visit(self._batches[batch])
        self._schedule.step()
        if moves_probe:
            self._constrain()
        error = float((squared / self.problem.counts.sum()).sqrt())
        if not error < float("inf"):
            raise DivergenceError(f"poisson diverged in epoch {number + 1}; a smaller learning_rate helps")
        return error

    @torch.enable_grad()
    def _visit(self, patterns: Tensor) -> Tensor:
        problem = self.problem
        canvas, probe = torch.view_as_complex(self._canvas), torch.view_as_complex(self._probe) * self._unit
        patches = gather(canvas, problem.index(patterns), problem.scan.patch_px)
        waves = fft2(patches.unsqueeze(1) * problem.shifted(probe, patterns), norm="ortho")
        expected, counts = probe_intensity(waves), problem.counts[patterns]
        loss = poisson_deviance(expected, counts, problem.good)
        if self._settings.total_variation:
            loss = loss + self._settings.total_variation * total_variation(canvas)
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()
        return ((expected.detach().sqrt() - counts.sqrt()) * problem.good).square().sum()

    def _constrain(self) -> None:
        canvas, probe = keep_power(self.canvas, self.probe, self._start_probe)
        canvas, probe = keep_centre(canvas, probe, self._start_probe)
        with torch.no_grad():
            self._canvas.copy_(torch.view_as_real(canvas))
            self._probe.copy_(torch.view_as_real(probe / self._unit))
