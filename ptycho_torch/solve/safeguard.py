"""Epochs that cannot diverge: one that raises the objective is undone, and the next takes smaller steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ptycho_torch.errors import DivergenceError
from ptycho_torch.solve.solver import Epoch, Solver, State

_SHRINK, _GROW = 0.5, 1.2


def run_safeguarded(solver: Solver, epochs: int, report: Callable[[float], None]) -> None:
    """Run a solver; it never ends at a state that is worse than its start.

    An epoch whose objective exceeds the least so far by more than the solver's tolerance is undone: the better one of
    the last two states is restored, or an earlier one that was measured and is better still; the momentum is forgotten
    and the step halved. Steps grow again with every epoch that is accepted.

    Args:
        solver: it is moved in place.
        epochs: number of epochs.
        report: called after each epoch with R over it, or with R of the restored state if it was undone.

    Raises:
        DivergenceError: the state to start from predicts values that are not finite.
    """
    measured = _Measured(solver.measure(), solver.state())
    if not math.isfinite(measured.epoch.objective):
        raise DivergenceError("the object to start from predicts patterns that are not finite; start from another one")
    least, share = measured.epoch.objective, 1.0
    recent: list[State] = []
    for number in range(epochs):
        epoch = solver.epoch(number)
        if epoch.objective <= least * (1 + solver.tolerance):
            least, share = min(least, epoch.objective), min(1.0, share * _GROW)
            recent = [*recent[-1:], solver.state()]
        else:
            measured = _find_best(solver, recent, measured)
            solver.restore(measured.state)
            epoch, least, share, recent = measured.epoch, measured.epoch.objective, share * _SHRINK, []
        solver.scale_steps(share)
        report(epoch.error)
    if share < 1:
        solver.restore(_find_best(solver, recent, measured).state)


@dataclass(frozen=True)
class _Measured:
    epoch: Epoch
    state: State


def _find_best(solver: Solver, states: list[State], best: _Measured) -> _Measured:
    for state in states:
        solver.restore(state)
        epoch = solver.measure()
        if epoch.objective < best.epoch.objective:
            best = _Measured(epoch, state)
    return best
