"""Torch against the float64 NumPy reference: against arrays that are stored, and against larger cases computed here.

TOLERANCES says how far the two may differ, relative to the largest value of the reference; in double precision where
the package computes in it when it is given it, otherwise in single precision, which is what users get.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy_study
import pytest
import torch
from numpy.typing import NDArray
from numpy_groups import allowed, by_distance, shared_fairly
from numpy_physics import patterns
from torch import Tensor, nn

from ptycho_torch.config import RefineSettings, SimulationSettings
from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.grouping import GroupRule, group_nearest, make_groups
from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.residual import residual
from ptycho_torch.models.predict import Prediction, Predictor
from ptycho_torch.networks.build import Generator
from ptycho_torch.physics import losses
from ptycho_torch.physics.forward import expect_counts
from ptycho_torch.physics.patches import gather, index_patches
from ptycho_torch.physics.probe import shift_probe
from ptycho_torch.physics.propagate import sum_intensities
from ptycho_torch.simulate import scan as simulated
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.least_squares import LeastSquares
from ptycho_torch.solve.scan_model import ScanModel
from ptycho_torch.solve.solve import refine

#                      double  single
TOLERANCES = {
    "expected counts": (1e-12, 3e-6),
    "losses": (1e-12, 1e-4),
    "priors": (1e-9, 3e-6),
    "residual": (1e-12, 1e-6),
    "stored answers": (1e-12, None),
    "simulation": (None, 5e-6),
    "merged object": (None, 3e-6),
    "light": (None, 1e-6),
    "spread": (None, 3e-3),  # a difference of large numbers where one patch outshines the rest
    "object step": (None, 3e-5),
    "probe step": (None, 3e-5),
}
# noise may lie this many standard deviations away
SIGMAS = 5.0

STORED = Path(__file__).parents[1] / "fixtures" / "cross_backend"
PRECISIONS = {"double": (torch.float64, torch.complex128), "single": (torch.float32, torch.complex64)}
PRIORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "amplitude_variation": losses.AMPLITUDE_PENALTIES["total_variation"],
    "amplitude_deviation": losses.AMPLITUDE_PENALTIES["mean_deviation"],
    "phase_variation": losses.PHASE_PENALTIES["total_variation"],
    "phase_deviation": losses.PHASE_PENALTIES["mean_deviation"],
    "amplitude_variance": losses.amplitude_variance,
}
LOSS_ANSWERS = {"poisson": "poisson_deviance", "amplitude_mae": "amplitude_mae", "anscombe": "anscombe"}


@dataclass(frozen=True)
class Precision:
    """Types of tensors, and which column of TOLERANCES holds for them."""

    column: int
    real: torch.dtype
    complex: torch.dtype

    def tensor(self, array: NDArray[Any]) -> Tensor:
        """A tensor of this precision."""
        return torch.from_numpy(np.array(array)).to(self.complex if np.iscomplexobj(array) else self.real)


def check(subject: str, found: Any, wanted: Any, column: int) -> None:
    """Hold a result against its reference, to the tolerance of its subject."""
    tolerance = TOLERANCES[subject][column]
    assert tolerance is not None
    wanted = np.asarray(wanted)
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


@pytest.fixture(params=["double", "single"])
def precision(request: pytest.FixtureRequest) -> Precision:
    return Precision(list(PRECISIONS).index(request.param), *PRECISIONS[request.param])


def stored_arrays() -> numpy_study.Arrays:
    """Inputs and answers of the study, as they are stored."""
    with np.load(STORED / "reference.npz") as file:
        arrays = {name: file[name] for name in file.files}
    assert arrays, "the reference arrays are missing"
    return arrays


def stored_scan(stored: numpy_study.Arrays) -> Scan:
    """The study's scan."""
    return Scan(stored["counts"], stored["positions_px"], stored["probe"], stored["good"])


# --- the stored arrays themselves


def test_stored_arrays_are_those_that_were_signed() -> None:
    digest, name = (STORED / "SHA256SUMS").read_text().split()
    assert hashlib.sha256((STORED / name).read_bytes()).hexdigest() == digest
    assert (STORED / name).stat().st_size < 200_000


def test_the_reference_still_gives_the_stored_answers() -> None:
    stored = stored_arrays()
    found = numpy_study.answers(stored)
    assert set(stored) == {*found, *numpy_study.inputs()}
    for name, value in found.items():
        assert value.shape == stored[name].shape
        check("stored answers", value, stored[name], 0)


# --- simulation


SIMULATIONS = {
    "raster": SimulationSettings(object_px=64, patch_px=32, probe="gaussian", probe_diameter_px=8),
    "spiral": SimulationSettings(object="siemens", object_px=72, patch_px=32, probe="zone_plate", path="spiral"),
}


def recomputed(found: Scan) -> NDArray[np.float64]:
    """Expected counts by the reference, from what a simulated scan says of itself."""
    assert found.truth is not None
    assert found.probe is not None
    return patterns(found.truth.pixels.astype(complex), found.probe.astype(complex), found.positions_px)


@pytest.mark.parametrize("name", SIMULATIONS)
def test_simulated_means_are_those_of_object_probe_and_positions(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "draw_counts", lambda expected, _: expected)
    found = simulate_scan(SIMULATIONS[name])
    assert np.abs(found.positions_px - np.round(found.positions_px)).max() > 0.2
    check("simulation", found.counts, recomputed(found), 1)


@pytest.mark.parametrize("name", SIMULATIONS)
def test_simulated_noise_is_that_of_photons(name: str) -> None:
    found = simulate_scan(SIMULATIONS[name])
    expected, counts = recomputed(found), found.counts.astype(float)
    bright, faint = expected > 1, expected < 3
    off = (counts - expected)[bright] / np.sqrt(expected[bright])
    assert bright.sum() > 1000
    assert abs(off.mean()) < SIGMAS / np.sqrt(off.size)
    # the square of a Poisson number's distance to its mean has variance 2 + 1/λ in units of λ
    assert abs(np.mean(off**2) - 1) < SIGMAS * np.sqrt(np.mean(2 + 1 / expected[bright]) / off.size)
    dark = np.exp(-expected[faint])
    assert abs((counts[faint] == 0).sum() - dark.sum()) < SIGMAS * np.sqrt(np.sum(dark * (1 - dark)))
    # no pattern knows the noise of the one before
    both = bright[1:] & bright[:-1]
    scaled = (counts - expected) / np.sqrt(np.maximum(expected, 1))
    assert abs(np.mean((scaled[1:] * scaled[:-1])[both])) < SIGMAS / np.sqrt(both.sum())


# --- grouping

PLACES = np.random.default_rng(31).uniform(0, 90, (120, 2))


def test_groups_are_those_stored() -> None:
    stored = stored_arrays()
    found = group_nearest(stored["positions_px"], numpy_study.GROUP)
    np.testing.assert_array_equal(found[:, 0], np.arange(len(found)))
    np.testing.assert_array_equal(np.sort(found, axis=1), stored["groups"])


@pytest.mark.parametrize("size", [1, 4, 16, 120])
def test_nearest_groups_are_the_nearest_by_all_distances(size: int) -> None:
    for centre, group in enumerate(group_nearest(PLACES, size).tolist()):
        assert group == [centre, *by_distance(PLACES, centre)[: size - 1]]


def test_drawn_neighbours_are_among_the_nearest_and_each_has_its_turn() -> None:
    draws = np.stack([group_nearest(PLACES, 4, neighbours=7, seed=seed) for seed in range(60)])
    for centre in range(len(PLACES)):
        assert set(draws[:, centre, 0].tolist()) == {centre}
        assert set(draws[:, centre, 1:].ravel().tolist()) == set(by_distance(PLACES, centre)[:7])
    assert all(len(set(group)) == 4 for group in draws.reshape(-1, 4).tolist())


RULES = {
    "nearest": GroupRule(5, "nearest", neighbours=9, draws=40),
    "within": GroupRule(4, "within", least_px=6, most_px=16, draws=60),
    "within, hardly anybody": GroupRule(6, "within", least_px=6, most_px=11, draws=60),
    "quadrants": GroupRule(5, "quadrants", neighbours=16, draws=60),
    "quadrants within": GroupRule(6, "quadrants", neighbours=20, least_px=5, most_px=30, draws=60),
}


@pytest.mark.parametrize("name", RULES)
def test_ruled_groups_are_drawn_from_whom_brute_force_allows(name: str) -> None:
    rule = RULES[name]
    near = rule.choice == "nearest"
    groups = make_groups(PLACES, rule, seed=3).reshape(rule.draws, len(PLACES), rule.size)
    np.testing.assert_array_equal(groups[:, :, 0], np.tile(np.arange(len(PLACES)), (rule.draws, 1)))
    for centre in range(len(PLACES)):
        least, most = (0.0, np.inf) if near else (rule.least_px, rule.most_px or np.inf)
        pool = None if rule.choice == "within" else rule.neighbours
        candidates = allowed(PLACES, centre, least, most, pool, rule.size - 1)
        members = [set(group) for group in groups[:, centre, 1:].tolist()]
        assert all(len(group) == rule.size - 1 for group in members)
        assert all(group <= candidates for group in members)
        if rule.choice == "quadrants":
            assert all(shared_fairly(PLACES, centre, group, candidates) for group in members)
        elif len(candidates) < 12:
            assert set().union(*members) == candidates


def test_by_axis_distances_are_measured_in_steps() -> None:
    grid = np.stack(np.meshgrid(np.arange(10.0), np.arange(10.0), indexing="ij"), axis=-1).reshape(-1, 2)
    wobbly = grid + np.random.default_rng(7).uniform(-0.01, 0.01, grid.shape)
    groups = make_groups(wobbly * [6.0, 2.3], GroupRule(9, by_axis=True), seed=0)
    for centre, group in enumerate(groups.tolist()):
        far = max(float(np.hypot(*(wobbly[other] - wobbly[centre]))) for other in group)
        wanted = by_distance(wobbly, centre)[7]
        assert far < 1.05 * float(np.hypot(*(wobbly[wanted] - wobbly[centre])))


# --- forward model, losses, figures of merit


def test_expected_counts_of_several_modes_between_pixels(precision: Precision) -> None:
    stored = stored_arrays()
    centres = np.round(stored["positions_px"]).astype(np.int64)
    corners = torch.from_numpy(centres - numpy_study.SIDE // 2)
    specimen, probe = precision.tensor(stored["specimen"]), precision.tensor(stored["probe"])
    index = index_patches(corners, numpy_study.SIDE, specimen.shape[1])
    shifts = precision.tensor(stored["positions_px"] - centres)
    found = expect_counts(gather(specimen, index, numpy_study.SIDE), shift_probe(probe, shifts))
    assert found.dtype == precision.real
    check("expected counts", found, stored["expected"], precision.column)


def test_every_loss_has_a_stored_answer() -> None:
    assert set(LOSS_ANSWERS) == set(losses.LOSSES)
    known = {*losses.AMPLITUDE_PENALTIES.values(), *losses.PHASE_PENALTIES.values(), losses.amplitude_variance}
    assert set(PRIORS.values()) == known


@pytest.mark.parametrize("name", losses.LOSSES)
def test_losses_are_those_stored(name: losses.LossName, precision: Precision) -> None:
    stored = stored_arrays()
    expected, counts, good = (precision.tensor(stored[key]) for key in ("expected", "counts", "good"))
    found = losses.LOSSES[name](expected + numpy_study.BACKGROUND, counts, good)
    check("losses", found, stored[LOSS_ANSWERS[name]], precision.column)


@pytest.mark.parametrize("name", PRIORS)
def test_priors_are_those_stored(name: str, precision: Precision) -> None:
    stored = stored_arrays()
    patches, light = precision.tensor(stored["patches"]), sum_intensities(precision.tensor(stored["probe"]))
    found = PRIORS[name](patches, light.expand(len(patches), -1, -1))
    check("priors", found, stored[name], precision.column)


def test_distance_to_labels_and_total_variation_are_those_stored(precision: Precision) -> None:
    stored = stored_arrays()
    patches, light = precision.tensor(stored["patches"]), sum_intensities(precision.tensor(stored["probe"]))
    labels = precision.tensor(numpy_study.labels_of(stored["specimen"], stored["positions_px"]))
    found = losses.object_mae(patches, labels, light.expand(len(patches), -1, -1))
    check("priors", found, stored["object_mae"], precision.column)
    check("priors", losses.total_variation(patches), stored["total_variation"], precision.column)


def test_residual_and_its_floor_are_those_stored(precision: Precision) -> None:
    stored = stored_arrays()
    expected, counts = precision.tensor(stored["expected"]), precision.tensor(stored["counts"])
    pairs = list(zip(expected.split(5), counts.split(5), strict=True))
    drawn = [residual(pairs, torch.Generator().manual_seed(seed)) for seed in range(40)]
    check("residual", drawn[0].value, stored["residual"], precision.column)
    floors = np.array([each.floor for each in drawn])
    assert abs(floors.mean() - stored["residual_floor"]) < SIGMAS * floors.std() / np.sqrt(len(floors))
    assert floors.std() < 0.05 * stored["residual_floor"]


# --- stitching


def stitched(scan: Scan, patches: NDArray[np.complex64], weighting: str) -> Prediction:
    """What the package makes of patches."""
    assert scan.probe is not None
    nothing = Generator(nn.Identity(), nn.Identity())
    predictor = Predictor(nothing, scan.probe, scan.photons_per_pattern, torch.device("cpu"), weighting)
    parts = np.split(np.arange(len(scan)), range(5, len(scan), 5))
    return predictor.merge(scan, ((part, torch.from_numpy(patches[part])) for part in parts))


@pytest.mark.parametrize("weighting", ["light", "uniform"])
def test_patches_are_stitched_as_stored(weighting: str) -> None:
    stored = stored_arrays()
    scan = stored_scan(stored)
    found = stitched(scan, stored["patches"], weighting)
    assert found.canvas.origin_px == tuple(np.round(scan.positions_px).min(axis=0) - numpy_study.SIDE // 2)
    check("merged object", found.canvas.pixels, stored[f"merged_{weighting}"], 1)
    check("light", found.illumination, stored["light"], 1)
    check("spread", found.spread, stored[f"spread_{weighting}"], 1)


# --- refinement


ONE_STEP = RefineSettings(
    held_out=0,
    method="least_squares",
    epochs=1,
    batches=1,
    probe_start=0,
    probe_rate=1,
    regularisation=numpy_study.DAMPING,
)


@pytest.mark.parametrize("modes", [1, 2])
def test_refine_moves_the_object_along_the_stored_step(modes: int) -> None:
    stored = stored_arrays()
    scan = stored_scan(stored)
    settings = replace(ONE_STEP, probe_start=1, probe_modes=modes)
    guess = Canvas(stored["specimen"][:, ::-1])
    frame = Frame(scan.positions_px, scan.patch_px)
    found = refine(scan, settings, guess=guess)
    moved = found.canvas.pixels - guess.cut_window(frame.origin_px, frame.shape_px)
    wanted = stored[f"object_step_{modes}"]
    # how far it goes along the step is a matter of the epochs and of momentum
    stretch = np.vdot(wanted, moved) / np.vdot(wanted, wanted)
    assert stretch.real > 0.05
    check("object step", moved / stretch.real, wanted, 1)


def test_the_probe_moves_along_the_stored_step() -> None:
    stored = stored_arrays()
    scan = stored_scan(stored)
    problem = ScanModel(scan, torch.device("cpu"))
    start = problem.start_probe(None, 1)
    solver = LeastSquares(problem, problem.start_object(Canvas(stored["specimen"][:, ::-1])), start, ONE_STEP)
    solver.epoch(0)
    before, after = (np.fft.fftshift(wave.numpy(), axes=(1, 2)).astype(complex) for wave in (start, solver.probe))
    # the power that the step adds goes to the object: the new probe is a real mixture of the old one and the step
    step = stored["probe_step"]
    (kept, share), *_ = np.linalg.lstsq(np.stack([before.ravel(), step.ravel()], axis=1), after.ravel())
    assert share.real > 0.05
    check("probe step", (after - kept.real * before) / share.real, step, 1)
