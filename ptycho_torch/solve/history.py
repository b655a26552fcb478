"""History: the epochs of a reconstruction, perhaps by several solvers, which goes on from where it was saved."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ptycho_torch.config import RefineSettings
from ptycho_torch.physics.propagate import unwrap
from ptycho_torch.runtime.progress import Progress
from ptycho_torch.runtime.saved_state import Stage, Values
from ptycho_torch.solve.safeguard import run_safeguarded
from ptycho_torch.solve.scan_model import Misfit, Solution
from ptycho_torch.solve.solver import Solver, State, read_state
from ptycho_torch.solve.watch import is_significantly_worse

_log = logging.getLogger(__name__)


class History:
    """R and R free of each epoch of a reconstruction, perhaps by several solvers, and what there is to say of them.

    Args:
        settings: of the solver.
        progress: called after each epoch with its number from 1 and R over it.
        stage: where the reconstruction is saved as it goes.
        show: called after each epoch.
    """

    def __init__(
        self,
        settings: RefineSettings,
        progress: Progress | None,
        stage: Stage,
        show: Callable[[int, Callable[[], Solution]], None] | None,
    ) -> None:
        self.errors: list[float] = []
        self.free_errors: list[float] = []
        self.remarks: list[str] = []
        self._settings, self._progress = settings, progress
        self._stage, self._show = stage, show

    def run(self, solver: Solver, epochs: int, *, is_last: bool) -> None:
        """Run a solver, perhaps on from where it was saved."""
        stage, settings, before = self._stage.part(solver.method), self._settings, len(self.errors)
        if stage.load(lambda values: self._restore(values, solver)):
            return

        def see(misfit: Misfit) -> None:
            self.errors.append(misfit.error)
            self.free_errors.append(misfit.free_error)
            self._tell()
            if self._show:
                self._show(len(self.errors), lambda: self.describe(solver))

        patience = settings.patience if is_last and settings.held_out else None
        watch = run_safeguarded(solver, epochs, see, patience, stage, self._dump)
        if watch.is_over:
            best = before + watch.best_number + 1
            self.note(f"stopped after epoch {len(self.errors)} of {settings.epochs}: epochs after {best} fit noise")
            if self._progress:
                self._progress(settings.epochs, None)
        if not is_last:
            stage.finish({**self._dump(), "state": list(solver.state())})

    def prefers(self, first: Solver, second: Solver) -> bool:
        """Whether the first of two solvers predicts held-out pixels better, by more than chance."""
        if not self._settings.held_out:
            return False
        better = is_significantly_worse(*(solver.measure().misfit.free_deviance for solver in (second, first)))
        if better:
            self.note("least squares predicts held-out pixels better than poisson, whose epochs are dropped")
        return better

    def note(self, remark: str) -> None:
        """Add a remark."""
        self.remarks.append(remark)
        _log.info(remark)

    def describe(self, solver: Solver, state: State | None = None) -> Solution:
        """The reconstruction at a state, by default that of the solver."""
        canvas, probe = state or solver.state()
        free_errors = self.free_errors if self._settings.held_out else ()
        found = solver.model.to_canvas(canvas), unwrap(probe).cpu().numpy()
        return Solution(*found, tuple(self.errors), solver.method, tuple(free_errors), tuple(self.remarks))

    def _tell(self) -> None:
        if self._progress and self.errors:
            self._progress(len(self.errors), self.errors[-1])

    def _dump(self) -> Values:
        return {"errors": list(self.errors), "free_errors": list(self.free_errors)}

    def _restore(self, values: Values, solver: Solver) -> bool:
        """Go on from what was saved; returns whether the solver had come to its end."""
        self.errors[:], self.free_errors[:] = map(float, values["errors"]), map(float, values["free_errors"])
        self._tell()
        if "state" in values:
            solver.restore(read_state(values["state"], solver.state()))
        return "state" in values
