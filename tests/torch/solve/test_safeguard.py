from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from ptycho_torch.errors import DivergenceError
from ptycho_torch.runtime.interrupts import Interrupted
from ptycho_torch.solve.safeguard import run_safeguarded
from ptycho_torch.solve.scan_model import Misfit
from ptycho_torch.solve.solver import Epoch, Solver
from ptycho_torch.solve.watch import Watch


def misfit_of(value: float, deviances: Tensor | None = None) -> Misfit:
    """A misfit whose R is a number, and whose held-out deviances are those given."""
    deviances = torch.full((50,), float(value)) if deviances is None else deviances
    return Misfit(torch.arange(50), deviances, torch.tensor(value**2), torch.zeros(()), torch.ones(()), torch.ones(()))


class Scripted(Solver):
    """A solver whose object is one number and whose objective is that number; each epoch sets the next one."""

    tolerance = 0.05
    watch_from = 0.0

    def __init__(self, start: float, values: list[float], deviances: dict[float, float] | None = None) -> None:
        self.value, self._values, self._deviances = start, values, deviances or {}
        self.shares: list[float] = []
        self.started_from: list[float] = []

    def epoch(self, number: int) -> Epoch:
        self.started_from.append(self.value)
        self.value = self._values[number]
        return self.measure()

    def measure(self) -> Epoch:
        deviance = self._deviances.get(self.value, self.value)
        return Epoch(self.value, misfit_of(self.value, torch.full((50,), float(deviance))))

    def state(self) -> tuple[Tensor, Tensor]:
        return torch.tensor(self.value, dtype=torch.float64), torch.zeros(())

    def restore(self, state: tuple[Tensor, Tensor]) -> None:
        self.value = state[0].item()

    def scale_steps(self, factor: float) -> None:
        self.shares.append(factor)


def run(start: float, *values: float) -> tuple[Scripted, list[float]]:
    solver = Scripted(start, list(values))
    told: list[float] = []
    run_safeguarded(solver, len(values), lambda misfit: told.append(misfit.error))
    return solver, told


def test_epochs_that_help_run_with_whole_steps() -> None:
    solver, told = run(8, 4, 2, 1)
    assert solver.shares == [1, 1, 1]
    assert told == pytest.approx([4, 2, 1])
    assert solver.value == 1


@pytest.mark.parametrize("worse", [3.0, 1e30, math.inf, math.nan])
def test_an_epoch_that_raises_the_objective_is_taken_back_and_the_step_halved(worse: float) -> None:
    solver, told = run(8, 4, 2, worse, 1)
    assert solver.shares[2] == 0.5
    assert solver.started_from[3] == 2
    assert told == pytest.approx([4, 2, 2, 1])


def test_steps_grow_again_up_to_whole_ones() -> None:
    solver, _ = run(8, 9, 9, 7, 6, 5, 4, 3, 2, 1, 0.5, 0.4, 0.3)
    assert solver.shares[1] == 0.25
    grown = solver.shares[1:]
    assert all(later > earlier or later == 1 for earlier, later in pairwise(grown))
    assert solver.shares[-1] == 1


def test_chance_within_the_tolerance_is_accepted() -> None:
    solver, told = run(8, 4, 4.1)
    assert solver.shares == [1, 1]
    assert told == pytest.approx([4, 4.1])


def test_the_best_state_is_returned_after_an_unsteady_run() -> None:
    solver, _ = run(8, 4, 9, 3.9, 4.05)
    assert solver.value == 3.9


def test_the_better_one_of_the_last_two_states_is_taken_back() -> None:
    solver, told = run(8, 4, 4.1, 9, 3)
    assert solver.started_from[3] == 4
    assert told == pytest.approx([4, 4.1, 4, 3])


def test_it_never_ends_worse_than_its_start() -> None:
    solver, told = run(8, 10, 20, math.inf)
    assert solver.value == 8
    assert solver.started_from == [8, 8, 8]
    assert told == pytest.approx([8, 8, 8])


def test_a_start_outside_of_the_finite_numbers_is_refused() -> None:
    with pytest.raises(DivergenceError, match="not finite"):
        run(math.nan, 1)


def watched(*rises: float) -> list[tuple[bool, bool]]:
    """Whether the last epoch is worse and whether to stop, for mean held-out deviances beside chance."""
    watch, told = Watch(patience=2), []
    chance = torch.linspace(-1, 1, 50)
    for number, rise in enumerate(rises):
        deviances = 10 + 5 * chance.roll(7) + rise + 0.5 * chance.roll(number)
        watch.see(number, misfit_of(1, deviances), (torch.tensor(number), torch.zeros(())))
        told.append((watch.is_worse, watch.is_over))
    assert watch.best[0] == watch.best_number == min(range(len(rises)), key=rises.__getitem__)
    return told


def test_a_run_is_over_after_the_patience_of_epochs_in_a_row_that_predict_worse() -> None:
    assert watched(1, 0, 1, 0.9, 1) == [(False, False), (False, False), (True, False), (True, True), (True, True)]
    assert not any(over for _, over in watched(1, 0, 1, -0.5, 1))


@pytest.mark.parametrize("values", [(4, 2, 1, 0.5), (4, 2, 9, 1)])
def test_a_run_that_fits_noise_returns_to_the_best_prediction(values: tuple[float, ...]) -> None:
    """Also if an epoch that raised the objective was taken back meanwhile."""
    solver = Scripted(8, list(values), {4: 1, 2: 2, 1: 3, 0.5: 4})
    watch = run_safeguarded(solver, len(values), lambda _: None, patience=2)
    assert watch.is_over
    assert len(solver.started_from) == 3
    assert solver.value == 4


class Ended(Scripted):
    """A solver that a signal ends when its third epoch has moved it."""

    def epoch(self, number: int) -> Epoch:
        epoch = super().epoch(number)
        if number == 2:
            raise Interrupted("SIGINT")
        return epoch


@pytest.mark.parametrize(("deviances", "wanted"), [({}, 2), ({4: 1, 2: 2}, 4)])
def test_a_run_that_is_ended_returns_to_the_best_of_its_whole_epochs(
    deviances: dict[float, float], wanted: float
) -> None:
    solver = Ended(8, [4, 2, 1], deviances)
    with pytest.raises(Interrupted):
        run_safeguarded(solver, 3, lambda _: None, patience=3)
    assert solver.value == wanted


def test_without_patience_the_last_state_is_returned() -> None:
    solver = Scripted(8, [4, 2, 1], {4: 1, 2: 2, 1: 3})
    run_safeguarded(solver, 3, lambda _: None)
    assert solver.value == 1


def test_a_rise_that_may_be_chance_does_not_count() -> None:
    assert watched(1, 0, 0.02, 0.02, 0.02)[-1] == (False, False)
