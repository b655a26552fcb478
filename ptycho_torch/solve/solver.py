"""Solver: what all iterative solvers have in common, and Epoch: what one visit to all patterns yields."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

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

    def dump(self) -> dict[str, Any]:
        """Return the epoch as tensors and plain values."""
        return {"objective": self.objective, **{each.name: getattr(self.misfit, each.name) for each in fields(Misfit)}}

    @classmethod
    def load(cls, values: Mapping[str, Any], device: torch.device) -> Self:
        """Make the epoch that `dump` described."""
        misfit = Misfit(**{each.name: values[each.name].to(device) for each in fields(Misfit)})
        return cls(float(values["objective"]), misfit)


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
        method: name of the solver.
        tolerance: share by which an epoch's objective may exceed the least so far and be accepted.
        watch_from: share of the epochs before which held-out pixels do not tell when to stop.
    """

    method: str
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

    def dump(self) -> dict[str, Any]:
        """Return all that later epochs depend on, as tensors and plain values."""
        return {"state": list(self.state()), "order": self._order.get_state(), "step_factor": self._step_factor}

    def load(self, values: Mapping[str, Any]) -> None:
        """Go on from what `dump` returned.

        Raises:
            ValueError: it is of another scan.
        """
        state = read_state(values["state"], self.state())
        self.restore(state)
        self._order.set_state(values["order"])
        self._step_factor = float(values["step_factor"])

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


def read_state(values: Sequence[Any], like: State) -> State:
    """Check that object and probe have the shapes of others, and bring them to their device.

    Raises:
        ValueError: they do not.
    """
    canvas, probe = (read_tensor(value, other) for value, other in zip(values, like, strict=True))
    return canvas, probe


def read_tensors(values: Mapping[str, Any], like: Mapping[str, Tensor]) -> list[Tensor]:
    """Check that there is a tensor of the shape and type of each other one, by name, and bring it to its device.

    Raises:
        KeyError: there is none of that name.
        ValueError: it differs.
    """
    return [read_tensor(values[name], other) for name, other in like.items()]


def read_tensor(value: Any, like: Tensor) -> Tensor:  # noqa: ANN401 - from a file, not checked yet
    """Check that a value is a tensor of the shape and type of another one, and bring it to its device.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, Tensor) or value.shape != like.shape or value.dtype != like.dtype:
        raise ValueError(f"{type(value).__name__} is no tensor of shape {tuple(like.shape)} and type {like.dtype}")
    return value.to(like.device)
