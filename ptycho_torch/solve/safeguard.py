"""Epochs that cannot diverge and stop in time.

An epoch that raises the objective is undone, and the next takes smaller steps. When held-out pixels are predicted worse
and worse, further epochs would fit noise: the run stops and returns to the epoch that predicted them best.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ptycho_torch.errors import DivergenceError
from ptycho_torch.solve.scan_model import Misfit
from ptycho_torch.solve.solver import Epoch, Solver, State
from ptycho_torch.solve.watch import Watch

_SHRINK, _GROW = 0.5, 1.2


def run_safeguarded(
    solver: Solver, epochs: int, report: Callable[[Misfit], None], patience: int | None = None
) -> Watch:
    """Run a solver; it never ends at a state that is worse than its start.

    An epoch whose objective exceeds the least so far by more than the solver's tolerance is undone: the better one of
    the last two states is restored, or an earlier one that was measured and is better still; the momentum is forgotten
    and the step halved. Steps grow again with every epoch that is accepted.

    Args:
        solver: it is moved in place.
        epochs: number of epochs.
        report: called after each epoch with its misfit, or with that of the restored state if it was undone.
        patience: epochs to go on while held-out pixels are predicted worse than before; None to run all epochs.

    Returns:
        What held-out pixels tell of the epochs.

    Raises:
        DivergenceError: the state to start from predicts values that are not finite.
    """
    measured = _Measured(solver.measure(), solver.state())
    if not math.isfinite(measured.epoch.objective):
        raise DivergenceError("the object to start from predicts patterns that are not finite; start from another one")
    least, share = measured.epoch.objective, 1.0
    recent: list[State] = []
    watch = Watch(patience or epochs, round(solver.watch_from * epochs))
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
        report(epoch.misfit)
        watch.see(number, epoch.misfit, solver.state())
        if watch.is_over:
            break
    if patience and watch.is_worse:
        solver.restore(watch.best)
    elif share < 1:
        solver.restore(_find_best(solver, recent, measured).state)
    return watch


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
