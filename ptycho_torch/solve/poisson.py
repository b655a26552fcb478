"""Poisson likelihood with total variation by Adam: for low doses, where least squares fits the noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ptycho_torch.config.schema import RefineSettings
from ptycho_torch.physics.losses import LEAST_COUNTS, poisson_deviance, total_variation
from ptycho_torch.physics.propagate import sum_intensities
from ptycho_torch.solve.defaults import find_variation
from ptycho_torch.solve.scan_model import Misfit, ScanModel
from ptycho_torch.solve.solver import Epoch, Solver, State

_LAST_RATE = 0.05


class PoissonAdam(Solver):
    """Poisson likelihood by Adam; the arguments are those of `Solver` and the object, (height, width) complex."""

    # Adam's first steps are as long as its rate, however good the object was; the objective falls again after them
    tolerance = 1.0
    # while the rate is high, its steps and not a fit of noise raise the held-out deviance
    watch_from = 0.5

    def __init__(self, model: ScanModel, canvas: Tensor, probe: Tensor, settings: RefineSettings) -> None:
        super().__init__(model, probe, settings)
        # Adam's steps are as long as its rate, whatever the gradient is: make the probe's usual amplitude its unit
        self._unit = float(sum_intensities(probe).max().sqrt())
        self._canvas = torch.view_as_real(canvas).clone().requires_grad_()
        self._probe = torch.view_as_real(probe / self._unit).clone()
        weight = settings.total_variation
        self._variation = find_variation(model, probe) if weight is None else weight
        self._adam = torch.optim.Adam([{"params": [self._canvas]}, {"params": [self._probe]}])

    @property
    def canvas(self) -> Tensor:
        """The object, (height, width) complex."""
        return torch.view_as_complex(self._canvas.detach())

    @property
    def probe(self) -> Tensor:
        """The wrapped probe, (mode, h, w) complex."""
        return torch.view_as_complex(self._probe.detach()) * self._unit

    def measure(self) -> Epoch:
        """Measure deviance with total variation, the objective, and R."""
        canvas, probe, model = self.canvas, self.probe, self.model
        deviance, misfits = 0.0, []
        for patterns in self._partition:
            expected = model.expected(canvas, probe, patterns)
            deviance += float(poisson_deviance(expected, model.counts[patterns], model.good)) * len(patterns)
            misfits.append(model.misfit(expected, patterns))
        objective = deviance / len(model.counts) + self._variation * float(total_variation(canvas))
        return Epoch(objective, Misfit.of_batches(misfits))

    def state(self) -> State:
        """Return copies of object and probe."""
        return self.canvas.clone(), self.probe

    def restore(self, state: State) -> None:
        """Set object and probe, without momentum."""
        self._set(*state)
        self._adam.state.clear()

    def epoch(self, number: int) -> Epoch:
        """Visit every pattern once."""
        moves_probe = number >= self._probe_from
        self._set_rates(number)
        objective, misfits = 0.0, []
        for batch in self._shuffle():
            patterns = self._partition[batch]
            loss, misfit = self._visit(patterns, moves_probe=moves_probe)
            objective += loss * len(patterns) / len(self.model.counts)
            misfits.append(misfit)
        if moves_probe:
            self._set(*self._constrain(self.canvas, self.probe))
        return Epoch(objective, Misfit.of_batches(misfits))

    def _set_rates(self, number: int) -> None:
        """Decrease both rates along a cosine to a twentieth of the object's first; the probe's first is a tenth."""
        first, last = self._settings.learning_rate, self._settings.learning_rate * _LAST_RATE
        falling = (1 + math.cos(math.pi * number / self._settings.epochs)) / 2
        for group, start in zip(self._adam.param_groups, (first, first / 10), strict=True):
            group["lr"] = self._step_factor * (last + (start - last) * falling)

    def _visit(self, patterns: Tensor, *, moves_probe: bool) -> tuple[float, Misfit]:
        model, canvas, probe = self.model, self.canvas, self.probe
        waves = model.waves(canvas, model.shifted(probe, patterns), patterns)
        counts, misfit = model.counts[patterns], model.misfit(waves.expected, patterns)
        loss = poisson_deviance(waves.expected, counts, model.good)
        # the derivative of the mean deviance, 2(1 − n/λ) for a pixel, back through waves whose intensity λ is
        excess = model.good - counts / waves.expected.clamp_min(LEAST_COUNTS)
        model.held_out.clear(excess, patterns)
        exits = model.exit_waves(waves, excess * (4 / (model.good.sum() * len(patterns))))
        gradient = torch.view_as_real(model.to_object(waves, exits))
        if self._variation:
            with torch.enable_grad():
                roughness = self._variation * total_variation(torch.view_as_complex(self._canvas))
                loss, gradient = loss + roughness.detach(), gradient + torch.autograd.grad(roughness, self._canvas)[0]
        self._canvas.grad = gradient
        self._probe.grad = None
        if moves_probe:
            self._probe.grad = torch.view_as_real(model.to_probe(waves, exits, patterns)) * self._unit
        self._adam.step()
        return float(loss), misfit

    @torch.no_grad()
    def _set(self, canvas: Tensor, probe: Tensor) -> None:
        self._canvas.copy_(torch.view_as_real(canvas))
        self._probe.copy_(torch.view_as_real(probe / self._unit))
