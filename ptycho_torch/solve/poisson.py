"""Poisson likelihood with total variation by Adam: for low doses, where least squares fits the noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ptycho_torch.config.schema import RefineSettings
from ptycho_torch.physics.losses import LEAST_COUNTS, poisson_deviance, total_variation
from ptycho_torch.physics.propagate import sum_intensities
from ptycho_torch.solve.defaults import find_variation
from ptycho_torch.solve.scan_model import ScanModel
from ptycho_torch.solve.solver import Epoch, Part, Solver, State

_LAST_RATE = 0.05


class PoissonAdam(Solver):
    """Poisson likelihood by Adam; the arguments are those of `Solver` and the object, (height, width) complex."""

    # Adam's first steps are as long as its rate, however good the object was; the objective falls again after them
    tolerance = 1.0

    def __init__(self, model: ScanModel, canvas: Tensor, probe: Tensor, settings: RefineSettings) -> None:
        super().__init__(model, probe, settings)
        # Adam's steps are as long as its rate, whatever the gradient is: make the probe's usual amplitude its unit
        self._unit = float(sum_intensities(probe).max().sqrt())
        self._canvas = torch.view_as_real(canvas).clone().requires_grad_()
        self._probe = torch.view_as_real(probe / self._unit).clone()
        weight = settings.total_variation
        self._variation = find_variation(model, probe) if weight is None else weight
        self._counts = [model.load_counts(part.patterns) for part in self._partition]
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
        sums = torch.zeros(2, device=canvas.device)
        for part, counts in zip(self._partition, self._counts, strict=True):
            sums += self._compare(model.expected(canvas, probe, part.patterns), counts)
        return self._summarise(sums, self._variation * float(total_variation(canvas)))

    def _compare(self, expected: Tensor, counts: Tensor) -> Tensor:
        """Deviance times patterns, and squared misfit of amplitudes, over patterns of this process."""
        if not len(counts):
            return torch.zeros(2, device=expected.device)
        deviance = poisson_deviance(expected, counts, self.model.good) * len(counts)
        return torch.stack([deviance, (expected.sqrt() - counts.sqrt()).square().sum()])

    def _summarise(self, sums: Tensor, roughness: float) -> Epoch:
        """Deviance with total variation, the objective, and R, from the sums of this process."""
        deviance, squared = self.model.ranks.sum(sums).tolist()
        return Epoch(deviance / len(self.model.scan) + roughness, (squared / self.model.total_counts) ** 0.5)

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
        sums, roughness = torch.zeros(2, device=self._canvas.device), 0.0
        for batch in self._shuffle():
            part = self._partition[batch]
            found, variation = self._visit(part, self._counts[batch], moves_probe=moves_probe)
            sums += found
            roughness += variation * part.whole / len(self.model.scan)
        if moves_probe:
            self._set(*self._constrain(self.canvas, self.probe))
        return self._summarise(sums, roughness)

    def _set_rates(self, number: int) -> None:
        """Decrease both rates along a cosine to a twentieth of the object's first; the probe's first is a tenth."""
        first, last = self._settings.learning_rate, self._settings.learning_rate * _LAST_RATE
        falling = (1 + math.cos(math.pi * number / self._settings.epochs)) / 2
        for group, start in zip(self._adam.param_groups, (first, first / 10), strict=True):
            group["lr"] = self._step_factor * (last + (start - last) * falling)

    def _visit(self, part: Part, counts: Tensor, *, moves_probe: bool) -> tuple[Tensor, float]:
        """Move by the gradient of a mini-batch; returns the sums of this process, and the total variation."""
        model, canvas, probe, patterns = self.model, self.canvas, self.probe, part.patterns
        waves = model.waves(canvas, model.shifted(probe, patterns), patterns)
        # the derivative of the mean deviance, 2(1 − n/λ) for a pixel, back through waves whose intensity λ is
        excess = model.good - counts / waves.expected.clamp_min(LEAST_COUNTS)
        exits = model.exit_waves(waves, excess * (4 / (model.good.sum() * part.whole)))
        gradient = torch.view_as_real(model.ranks.sum(model.to_object(waves, exits)))
        variation = 0.0
        if self._variation:
            with torch.enable_grad():
                roughness = self._variation * total_variation(torch.view_as_complex(self._canvas))
                gradient = gradient + torch.autograd.grad(roughness, self._canvas)[0]
            variation = float(roughness.detach())
        self._canvas.grad = gradient
        self._probe.grad = None
        if moves_probe:
            toward = model.ranks.sum(model.to_probe(waves, exits, patterns))
            self._probe.grad = torch.view_as_real(toward) * self._unit
        self._adam.step()
        return self._compare(waves.expected, counts), variation

    @torch.no_grad()
    def _set(self, canvas: Tensor, probe: Tensor) -> None:
        self._canvas.copy_(torch.view_as_real(canvas))
        self._probe.copy_(torch.view_as_real(probe / self._unit))
