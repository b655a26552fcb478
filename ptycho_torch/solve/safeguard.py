"""Epochs that cannot run away: one that made things worse is taken back, and the next takes smaller steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ptycho_torch.errors import DivergenceError

_SHRINK, _GROW = 0.5, 1.2


State = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Epoch:
    """What a visit to all patterns saw; in an epoch of steps, while object and probe moved.

    Attributes:
        objective: what the solver makes small; infinite or NaN where it left the finite numbers.
        error: R over all patterns.
    """

    objective: float
    error: float


class Solver(Protocol):
    """What a solver has to offer to be safeguarded.

    Attributes:
        tolerance: share by which an epoch's objective may exceed the least so far and be accepted.
    """

    tolerance: float

    def epoch(self, number: int) -> Epoch:
        """Visit every pattern once."""
        ...

    def measure(self) -> Epoch:
        """Objective and R of the present state over all patterns."""
        ...

    def state(self) -> State:
        """Object and probe as they are; later epochs leave them alone."""
        ...

    def restore(self, state: State) -> None:
        """Take object and probe back and forget momentum."""
        ...

    def trust(self, share: float) -> None:
        """Take so much of the usual step from now on."""
        ...


def run_safeguarded(solver: Solver, epochs: int, report: Callable[[float], None]) -> None:
    """Run a solver; it never ends at a state that is worse than its start.

    An epoch whose objective exceeds the least so far by more than chance is taken back: the better one of the last two
    states is restored, or an earlier one that was measured and is better still; momentum is forgotten and the step
    halved. Steps grow again with every epoch that is accepted.

    Args:
        solver: it is moved in place.
        epochs: how many.
        report: called after each epoch with R over it; where it was taken back, with R of the state restored.

    Raises:
        DivergenceError: the state to start from is outside of the finite numbers.
    """
    measured = _Measured(solver.measure(), solver.state())
    if not math.isfinite(measured.seen.objective):
        raise DivergenceError("the object to start from predicts patterns that are not finite; start from another one")
    least, share = measured.seen.objective, 1.0
    recent: list[State] = []
    for number in range(epochs):
        epoch = solver.epoch(number)
        if epoch.objective <= least * (1 + solver.tolerance):
            least, share = min(least, epoch.objective), min(1.0, share * _GROW)
            recent = [*recent[-1:], solver.state()]
        else:
            measured = _best(solver, recent, measured)
            solver.restore(measured.state)
            epoch, least, share, recent = measured.seen, measured.seen.objective, share * _SHRINK, []
        solver.trust(share)
        report(epoch.error)
    if share < 1:
        solver.restore(_best(solver, recent, measured).state)


@dataclass(frozen=True)
class _Measured:
    seen: Epoch
    state: State


def _best(solver: Solver, states: list[State], so_far: _Measured) -> _Measured:
    for state in states:
        solver.restore(state)
        seen = solver.measure()
        if seen.objective < so_far.seen.objective:
            so_far = _Measured(seen, state)
    return so_far
