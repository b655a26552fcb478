"""Epochs that cannot diverge and stop in time.

An epoch that raises the objective is undone, and the next takes smaller steps. When held-out pixels are predicted worse
and worse, further epochs would fit noise: the run stops and returns to the epoch that predicted them best.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ptycho_torch.errors import DivergenceError
from ptycho_torch.runtime.interrupts import Interrupted
from ptycho_torch.runtime.saved_state import UNSAVED, Stage, Values
from ptycho_torch.solve.scan_model import Misfit
from ptycho_torch.solve.solver import Epoch, Solver, State, read_state
from ptycho_torch.solve.watch import Watch

_SHRINK, _GROW = 0.5, 1.2


def run_safeguarded(
    solver: Solver,
    epochs: int,
    report: Callable[[Misfit], None],
    patience: int | None = None,
    stage: Stage = UNSAVED,
    describe: Callable[[], Values] = dict,
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
        stage: where the run is saved after each epoch, and from which it goes on.
        describe: returns what else is to be saved with an epoch.

    Returns:
        What held-out pixels tell of the epochs.

    Raises:
        DivergenceError: the state to start from predicts values that are not finite.
        Interrupted: the run was asked to end; the solver holds the best of the epochs before.
    """
    loop = _Loop(solver, Watch(patience or epochs, round(solver.watch_from * epochs)))
    if not stage.load(loop.load):
        loop.start()
    watch = loop.watch
    try:
        while loop.number < epochs and not watch.is_over:
            report(loop.advance())
            stage.reach(lambda: {**loop.dump(), **describe()})
    except Interrupted:
        solver.restore(watch.best if patience and watch.is_worse else loop.last_state)
        raise
    if patience and watch.is_worse:
        solver.restore(watch.best)
    elif loop.share < 1:
        solver.restore(_find_best(solver, loop.recent, loop.measured).state)
    return watch


class _Loop:
    """Epochs with what is known of those before; see `run_safeguarded`."""

    measured: _Measured

    def __init__(self, solver: Solver, watch: Watch) -> None:
        self.watch = watch
        self.number, self.share = 0, 1.0
        self.recent: list[State] = []
        self._solver, self._least = solver, math.inf

    @property
    def last_state(self) -> State:
        """Object and probe after the last epoch."""
        return self.recent[-1] if self.recent else self.measured.state

    def start(self) -> None:
        self.measured = _Measured(self._solver.measure(), self._solver.state())
        self._least = self.measured.epoch.objective
        if not math.isfinite(self._least):
            raise DivergenceError(
                "the object to start from predicts patterns that are not finite; start from another one"
            )

    def advance(self) -> Misfit:
        """Run the next epoch, and undo it if it was none."""
        solver = self._solver
        epoch = solver.epoch(self.number)
        if epoch.objective <= self._least * (1 + solver.tolerance):
            self._least, self.share = min(self._least, epoch.objective), min(1.0, self.share * _GROW)
            self.recent = [*self.recent[-1:], solver.state()]
        else:
            self.measured = _find_best(solver, self.recent, self.measured)
            solver.restore(self.measured.state)
            epoch, self.share, self.recent = self.measured.epoch, self.share * _SHRINK, []
            self._least = epoch.objective
        solver.scale_steps(self.share)
        self.watch.see(self.number, epoch.misfit, solver.state())
        self.number += 1
        return epoch.misfit

    def dump(self) -> Values:
        return {
            "number": self.number,
            "share": self.share,
            "least": self._least,
            "recent": [list(state) for state in self.recent],
            "measured": {**self.measured.epoch.dump(), "state": list(self.measured.state)},
            "watch": self.watch.dump(),
            "solver": self._solver.dump(),
        }

    def load(self, values: Mapping[str, Any]) -> bool:
        like, measured = self._solver.state(), values["measured"]
        self.number, self.share, self._least = int(values["number"]), float(values["share"]), float(values["least"])
        self.recent = [read_state(state, like) for state in values["recent"]]
        epoch = Epoch.load(measured, self._solver.model.device)
        self.measured = _Measured(epoch, read_state(measured["state"], like))
        self.watch.load(values["watch"], like)
        self._solver.load(values["solver"])
        return True


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
