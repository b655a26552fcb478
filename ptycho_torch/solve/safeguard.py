"""Epochs that cannot run away: one that made things worse is taken back, and the next takes smaller steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ptycho_torch.errors import DivergenceError

# mini-batches see the object at different times: so much may an epoch's objective rise by chance
_TOLERANCE = 0.05
_SHRINK, _GROW = 0.5, 1.2


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
    """What a solver has to offer to be safeguarded."""

    def epoch(self, number: int) -> Epoch:
        """Visit every pattern once."""
        ...

    def measure(self) -> Epoch:
        """Objective and R of the present state over all patterns."""
        ...

    def state(self) -> tuple[Tensor, Tensor]:
        """Object and probe as they are; later epochs leave them alone."""
        ...

    def restore(self, state: tuple[Tensor, Tensor]) -> None:
        """Take object and probe back and forget momentum."""
        ...

    def trust(self, share: float) -> None:
        """Take so much of the usual step from now on."""
        ...


def run_safeguarded(solver: Solver, epochs: int, report: Callable[[float], None]) -> None:
    """Run a solver; it ends at the best state that it was in.

    An epoch whose objective exceeds the best so far by more than chance is taken back: the state before it is
    restored, momentum is forgotten and the step halved. Steps grow again with every epoch that is accepted.

    Args:
        solver: it is moved in place.
        epochs: how many.
        report: called after each epoch with R over it, or over the last accepted one.

    Raises:
        DivergenceError: the state to start from is outside of the finite numbers.
    """
    start = solver.measure()
    if not math.isfinite(start.objective):
        raise DivergenceError("the object to start from predicts patterns that are not finite; start from another one")
    best, accepted = start.objective, start.error
    kept = best_state = solver.state()
    share, rejected = 1.0, False
    for number in range(epochs):
        epoch = solver.epoch(number)
        if epoch.objective <= best * (1 + _TOLERANCE):
            kept, accepted, share = solver.state(), epoch.error, min(1.0, share * _GROW)
            if epoch.objective <= best:
                best, best_state = epoch.objective, kept
        else:
            rejected, share = True, share * _SHRINK
            solver.restore(kept)
        solver.trust(share)
        report(accepted)
    if rejected and not solver.measure().objective <= best * (1 + _TOLERANCE):
        solver.restore(best_state)
