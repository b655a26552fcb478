"""Every linear operator of the physics, held by the same properties: a new one is one row of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from numpy_samples import compact_probe, complex_noise
from torch import Tensor

from ptycho_torch.data.scan import Scan
from ptycho_torch.physics.forward import expect_counts
from ptycho_torch.physics.patches import gather, index_patches, scatter
from ptycho_torch.physics.probe import orthogonalise, shift_pairs, shift_probe, unshift_sum
from ptycho_torch.physics.propagate import (
    propagate,
    propagate_back,
    propagate_back_wrapped,
    propagate_wrapped,
    sum_intensities,
    unwrap,
    wrap,
)
from ptycho_torch.solve.scan_model import ScanModel

SIDE, PATTERNS, MODES = 16, 5, 2
CORNERS_PX = torch.tensor([[0, 0], [3, 5], [8, 8], [2, 7], [8, 1]])
SHIFTS_PX = torch.tensor([[0.0, 0.0], [0.25, -0.5], [0.4, 0.1], [-0.3, 0.2], [0.5, 0.5]], dtype=torch.float64)
INDEX = index_patches(CORNERS_PX, SIDE, 24)
STACK = (PATTERNS, MODES, SIDE, SIDE)


@dataclass(frozen=True)
class Operator:
    """A linear operator, its adjoint, and the shape of what it acts on; `unitary` ones keep photons."""

    forward: Callable[[Tensor], Tensor]
    adjoint: Callable[[Tensor], Tensor]
    shape: tuple[int, ...]
    unitary: bool = False


OPERATORS = {
    "propagate": Operator(propagate, propagate_back, STACK, unitary=True),
    "propagate_wrapped": Operator(propagate_wrapped, propagate_back_wrapped, STACK, unitary=True),
    "wrap": Operator(wrap, unwrap, STACK, unitary=True),
    "gather": Operator(lambda canvas: gather(canvas, INDEX, SIDE), lambda p: scatter(p, INDEX, (24, 24)), (24, 24)),
    "shift_probe": Operator(
        lambda probe: shift_probe(probe, SHIFTS_PX), lambda w: unshift_sum(w, SHIFTS_PX), (MODES, SIDE, SIDE)
    ),
    "shift_pairs": Operator(
        lambda probes: shift_pairs(probes, SHIFTS_PX), lambda waves: shift_pairs(waves, -SHIFTS_PX), STACK
    ),
}


def noise(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(complex_noise(rng, *shape))


@pytest.fixture(params=OPERATORS)
def operator(request: pytest.FixtureRequest) -> Operator:
    return OPERATORS[request.param]


def test_the_adjoint_belongs_to_the_operator(operator: Operator, rng: np.random.Generator) -> None:
    start = noise(rng, *operator.shape)
    end = operator.forward(start)
    other = noise(rng, *end.shape)
    there, back = (
        torch.vdot(other.flatten(), end.flatten()),
        torch.vdot(operator.adjoint(other).flatten(), start.flatten()),
    )
    torch.testing.assert_close(there, back, rtol=1e-10, atol=1e-10)


def test_autograd_agrees_with_the_adjoint(operator: Operator, rng: np.random.Generator) -> None:
    start = noise(rng, *operator.shape).requires_grad_()
    end = operator.forward(start)
    other = noise(rng, *end.shape)
    (found,) = torch.autograd.grad((end * other.conj()).real.sum(), start)
    torch.testing.assert_close(found, operator.adjoint(other), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", [name for name, found in OPERATORS.items() if found.unitary])
def test_unitary_operators_keep_photons(name: str, rng: np.random.Generator) -> None:
    start = noise(rng, *OPERATORS[name].shape)
    torch.testing.assert_close(OPERATORS[name].forward(start).abs().square().sum(), start.abs().square().sum())


@pytest.mark.parametrize(
    "name", [name for name, found in OPERATORS.items() if found.shape == STACK and name != "shift_pairs"]
)
def test_a_batch_of_one_is_a_slice_of_a_batch(name: str, rng: np.random.Generator) -> None:
    start = noise(rng, *STACK)
    whole = OPERATORS[name].forward(start)
    torch.testing.assert_close(OPERATORS[name].forward(start[2:3]), whole[2:3])


def test_one_position_is_shifted_and_cut_as_among_others(rng: np.random.Generator) -> None:
    probe, canvas = noise(rng, MODES, SIDE, SIDE), noise(rng, 24, 24)
    torch.testing.assert_close(shift_probe(probe, SHIFTS_PX[1:2]), shift_probe(probe, SHIFTS_PX)[1:2])
    one = gather(canvas, index_patches(CORNERS_PX[1:2], SIDE, 24), SIDE)
    torch.testing.assert_close(one, gather(canvas, INDEX, SIDE)[1:2])


def test_moving_object_and_positions_together_changes_no_pattern(rng: np.random.Generator) -> None:
    probe, canvas = noise(rng, MODES, SIDE, SIDE), noise(rng, 24, 24)
    probes = shift_probe(probe, SHIFTS_PX)
    before = expect_counts(gather(canvas, INDEX, SIDE), probes)
    moved = torch.zeros(27, 30, dtype=canvas.dtype)
    moved[3:, 6:] = canvas
    after = expect_counts(gather(moved, index_patches(CORNERS_PX + torch.tensor([3, 6]), SIDE, 30), SIDE), probes)
    torch.testing.assert_close(after, before)


def test_mixing_modes_by_a_unitary_matrix_changes_no_pattern(rng: np.random.Generator) -> None:
    probe, patches = noise(rng, MODES, SIDE, SIDE), noise(rng, PATTERNS, SIDE, SIDE)
    found = [expect_counts(patches, shift_probe(mixed, SHIFTS_PX)) for mixed in (probe, orthogonalise(probe))]
    torch.testing.assert_close(*found)


def scan_model(rng: np.random.Generator, background: NDArray[np.float32] | None = None) -> ScanModel:
    positions = CORNERS_PX.numpy() + SHIFTS_PX.numpy() + SIDE // 2
    counts = rng.poisson(50.0, (PATTERNS, SIDE, SIDE)).astype(np.float32)
    scan = Scan(counts, positions, compact_probe(SIDE).astype(np.complex64), background=background)
    return ScanModel(scan, torch.device("cpu"))


@pytest.mark.parametrize(("kind", "rtol", "atol"), [(torch.complex128, 1e-10, 1e-10), (torch.complex64, 1e-4, 1e-2)])
def test_the_model_of_a_scan_has_the_adjoint_of_its_waves(
    rng: np.random.Generator, kind: torch.dtype, rtol: float, atol: float
) -> None:
    model = scan_model(rng)
    canvas = noise(rng, *model.frame.shape_px).to(kind)
    probe = noise(rng, MODES, SIDE, SIDE).to(kind)
    waves = model.waves(canvas, model.shifted(probe, model.patterns), model.patterns)
    assert waves.detector.dtype == kind
    other = noise(rng, *waves.detector.shape).to(kind)
    exits = propagate_back_wrapped(other)
    wanted = torch.vdot(other.flatten(), waves.detector.flatten())
    by_object = torch.vdot(model.to_object(waves, exits).flatten(), canvas.flatten())
    by_probe = torch.vdot(model.to_probe(waves, exits, model.patterns).flatten(), probe.flatten())
    torch.testing.assert_close(by_object, wanted, rtol=rtol, atol=atol)
    torch.testing.assert_close(by_probe, wanted, rtol=rtol, atol=atol)


@pytest.mark.parametrize("background", [None, np.arange(SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE) / 50])
@pytest.mark.parametrize(("kind", "rtol", "atol"), [(torch.complex128, 1e-10, 1e-10), (torch.complex64, 1e-4, 1e-3)])
def test_the_model_of_a_scan_expects_what_the_forward_model_does(
    rng: np.random.Generator,
    kind: torch.dtype,
    rtol: float,
    atol: float,
    background: NDArray[np.float32] | None,
) -> None:
    model = scan_model(rng, background)
    canvas = noise(rng, *model.frame.shape_px).to(kind)
    probe = noise(rng, MODES, SIDE, SIDE).to(kind)
    found = unwrap(model.expected(canvas, wrap(probe), model.patterns))
    index = index_patches(torch.from_numpy(model.frame.corners_px), SIDE, canvas.shape[1])
    known = None if background is None else torch.from_numpy(background)
    wanted = expect_counts(gather(canvas, index, SIDE), shift_probe(probe, model.shifts_px), known)
    torch.testing.assert_close(found, wanted, rtol=rtol, atol=atol)


def test_intensities_of_modes_add(rng: np.random.Generator) -> None:
    waves = noise(rng, *STACK)
    torch.testing.assert_close(sum_intensities(waves), sum_intensities(waves[:, :1]) + sum_intensities(waves[:, 1:]))
