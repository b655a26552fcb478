"""Poisson likelihood with total variation by Adam: for low doses, where least squares fits the noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ptycho_torch.config import RefineSettings
from ptycho_torch.physics.losses import LEAST_COUNTS, deviate_poisson, total_variation
from ptycho_torch.physics.propagate import sum_intensities
from ptycho_torch.solve.defaults import find_variation
from ptycho_torch.solve.scan_model import Misfit, MisfitSum, ScanModel
from ptycho_torch.solve.solver import Epoch, Part, Solver, State, add_up, read_tensor

_LAST_RATE = 0.05


class _Total:
    """Deviance and misfit of all patterns, from those of blocks."""

    def __init__(self, model: ScanModel) -> None:
        self._model, self._misfit = model, MisfitSum(model)
        self._deviances: list[float] = []

    def add(self, deviance: Tensor, misfit: Misfit) -> None:
        """Add the deviance, summed over some patterns of this process, and their misfit."""
        self._deviances.append(float(deviance))
        self._misfit.add(misfit)

    def find(self, roughness: float) -> Epoch:
        """Deviance with total variation, the objective, and the misfit of all patterns of all processes."""
        deviance = self._model.ranks.sum(torch.tensor(self._deviances).sum())
        return Epoch(float(deviance) / len(self._model.scan) + roughness, self._misfit.find())


class PoissonAdam(Solver):
    """Poisson likelihood by Adam; the arguments are those of `Solver` and the object, (height, width) complex."""

    method = "poisson"
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
        self._counts = [list(self._load(part)) for part in self._partition] if model.may_keep(4) else None
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
        total = _Total(model)
        for batch in range(len(self._partition)):
            for patterns, counts in self._find_blocks(batch):
                self._compare(model.expected(canvas, probe, patterns), counts, patterns, total)
        return total.find(self._variation * float(total_variation(canvas)))

    def _load(self, part: Part) -> Iterator[tuple[Tensor, Tensor]]:
        """Load this process's patterns of a mini-batch block by block, with their counts."""
        for patterns in self.model.split(part.patterns):
            yield patterns, self.model.load_counts(patterns)

    def _find_blocks(self, batch: int) -> Iterable[tuple[Tensor, Tensor]]:
        return self._load(self._partition[batch]) if self._counts is None else self._counts[batch]

    def _compare(self, expected: Tensor, counts: Tensor, patterns: Tensor, total: _Total) -> None:
        """Add deviance and misfit of some patterns of this process."""
        good = self.model.good
        deviance = (deviate_poisson(expected, counts) * good).sum() / good.sum()
        total.add(deviance, self.model.misfit(expected, counts.sqrt(), patterns))

    def state(self) -> State:
        """Return copies of object and probe."""
        return self.canvas.clone(), self.probe

    def restore(self, state: State) -> None:
        """Set object and probe, without momentum."""
        self._set(*state)
        self._adam.state.clear()

    def dump(self) -> dict[str, Any]:
        """Return what later epochs depend on, with the moments of Adam."""
        # the probe in its own unit: a conversion and back would change its last bits
        values = {"own_probe": self._probe.detach(), "moments": self._adam.state_dict()["state"]}
        return {**super().dump(), **values}

    def load(self, values: Mapping[str, Any]) -> None:
        """Go on from what `dump` returned."""
        super().load(values)
        parameters = (self._canvas.detach(), self._probe)
        self._probe.copy_(read_tensor(values["own_probe"], self._probe))
        for number, moments in values["moments"].items():
            for name in ("exp_avg", "exp_avg_sq"):
                read_tensor(moments[name], parameters[number])
        self._adam.load_state_dict({**self._adam.state_dict(), "state": values["moments"]})

    def epoch(self, number: int) -> Epoch:
        """Visit every pattern once."""
        moves_probe = number >= self._probe_from
        self._set_rates(number)
        total, roughness = _Total(self.model), 0.0
        for batch in self._shuffle():
            variation = self._visit(batch, total, moves_probe=moves_probe)
            roughness += variation * self._partition[batch].whole / len(self.model.scan)
        if moves_probe:
            self._set(*self._constrain(self.canvas, self.probe))
        return total.find(roughness)

    def _set_rates(self, number: int) -> None:
        """Decrease both rates along a cosine to a twentieth of the object's first; the probe's first is a tenth."""
        first, last = self._settings.learning_rate, self._settings.learning_rate * _LAST_RATE
        falling = (1 + math.cos(math.pi * number / self._settings.epochs)) / 2
        for group, start in zip(self._adam.param_groups, (first, first / 10), strict=True):
            group["lr"] = self._step_factor * (last + (start - last) * falling)

    def _visit(self, batch: int, total: _Total, *, moves_probe: bool) -> float:
        """Add what a mini-batch shows to a total and move by its gradient; returns the total variation before."""
        model, whole = self.model, self._partition[batch].whole
        gradients: list[Tensor] = []
        for patterns, counts in self._find_blocks(batch):
            parts = self._differentiate(patterns, counts, whole, total, moves_probe=moves_probe)
            gradients = add_up(gradients, parts)
        of_object, *of_probe = model.ranks.sum_together(*gradients)
        gradient = torch.view_as_real(of_object)
        variation = 0.0
        if self._variation:
            with torch.enable_grad():
                roughness = self._variation * total_variation(torch.view_as_complex(self._canvas))
                gradient = gradient + torch.autograd.grad(roughness, self._canvas)[0]
            variation = float(roughness.detach())
        self._canvas.grad = gradient
        self._probe.grad = torch.view_as_real(of_probe[0]) * self._unit if moves_probe else None
        self._adam.step()
        return variation

    def _differentiate(
        self, patterns: Tensor, counts: Tensor, whole: int, total: _Total, *, moves_probe: bool
    ) -> list[Tensor]:
        """The gradients of some of the `whole` patterns of a mini-batch, which are added to a total."""
        model, canvas, probe = self.model, self.canvas, self.probe
        waves = model.waves(canvas, model.shifted(probe, patterns), patterns)
        self._compare(waves.expected, counts, patterns, total)
        # the derivative of the mean deviance, 2(1 − n/λ) for a pixel, back through waves whose intensity λ is
        excess = model.good - counts / waves.expected.clamp_min(LEAST_COUNTS)
        model.held_out.clear(excess, patterns)
        exits = model.exit_waves(waves, excess * (4 / (model.good.sum() * whole)))
        gradients = [model.to_object(waves, exits)]
        if moves_probe:
            gradients.append(model.to_probe(waves, exits, patterns))
        return gradients

    @torch.no_grad()
    def _set(self, canvas: Tensor, probe: Tensor) -> None:
        self._canvas.copy_(torch.view_as_real(canvas))
        self._probe.copy_(torch.view_as_real(probe / self._unit))
