"""Solver: what all iterative solvers have in common, and Epoch: what one visit to all patterns yields."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ptycho_torch.config import RefineSettings
from ptycho_torch.solve.constraints import keep_centre, keep_power
from ptycho_torch.solve.scan_model import Misfit, ScanModel

State = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Epoch:
    """The result of a visit to all patterns; during an epoch of steps, while object and probe still moved.

    Attributes:
        objective: the quantity that the solver minimises; infinite or NaN if values became non-finite.
        misfit: R and R free over all patterns.
    """

    objective: float
    misfit: Misfit

    @property
    def error(self) -> float:
        """R over all patterns."""
        return self.misfit.error


@dataclass(frozen=True, eq=False)
class Part:
    """A mini-batch.

    Attributes:
        whole: number of its patterns.
        patterns: those of them that this process computes.
    """

    whole: int
    patterns: Tensor


class Solver(ABC):
    """A solver's state, object and probe; `epoch` moves them.

    Args:
        model: the scan.
        probe: wrapped probe to start from, (mode, h, w) complex.
        settings: epochs, mini-batches, step sizes.

    Attributes:
        tolerance: share by which an epoch's objective may exceed the least so far and be accepted.
        watch_from: share of the epochs before which held-out pixels do not tell when to stop.
    """

    tolerance: float
    watch_from: float

    def __init__(self, model: ScanModel, probe: Tensor, settings: RefineSettings) -> None:
        self.model = model
        self._settings = settings
        self._start_probe = probe
        self._partition = [
            Part(len(whole), model.ranks.share(whole)) for whole in model.partition(settings.batches, settings.seed)
        ]
        self._order = torch.Generator().manual_seed(settings.seed + 1)
        self._probe_from = round(settings.probe_start * settings.epochs)
        self._step_factor = 1.0

    @abstractmethod
    def epoch(self, number: int) -> Epoch:
        """Visit every pattern once and move object and probe."""

    @abstractmethod
    def measure(self) -> Epoch:
        """Measure objective and R of the present state over all patterns."""

    @abstractmethod
    def state(self) -> State:
        """Return object and probe for `restore`; later epochs leave them alone."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Set object and probe to an earlier state and forget the momentum."""

    def scale_steps(self, factor: float) -> None:
        """Multiply the usual step size by a factor from now on."""
        self._step_factor = factor

    def _shuffle(self) -> list[int]:
        """Numbers of all mini-batches in random order."""
        order: list[int] = torch.randperm(len(self._partition), generator=self._order).tolist()
        return order

    def _constrain(self, canvas: Tensor, probe: Tensor) -> State:
        """Give the probe the power and the place that it had at the start."""
        return keep_centre(*keep_power(canvas, probe, self._start_probe), self._start_probe)


def add_up(totals: list[Tensor], parts: list[Tensor]) -> list[Tensor]:
    """Add tensors to totals, in place; without totals yet, the tensors become them."""
    return [total.add_(part) for total, part in zip(totals, parts, strict=True)] if totals else parts
