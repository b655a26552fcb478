from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from numpy_samples import LOPSIDED, compact_probe

from ptycho_torch.config import RefineSettings, SimulationSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError, DivergenceError
from ptycho_torch.evaluate.objects import complex_error
from ptycho_torch.evaluate.scores import evaluate, find_illuminated_area, sum_illumination
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.scan_model import Solution
from ptycho_torch.solve.solve import choose_method, refine

FIXED = RefineSettings(method="least_squares", epochs=25, batches=6, probe_start=1)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def solved(lopsided_scan: Scan) -> Solution:
    return refine(lopsided_scan, FIXED)


def error_against(solution: Solution, scan: Scan, row: float, column: float) -> float:
    """Error against the specimen moved by (row, column), over the area that got a fifth of the brightest light."""
    height, width = solution.canvas.pixels.shape
    rows = solution.canvas.origin_px[0] - row + np.arange(height, dtype=float)[:, None]
    columns = solution.canvas.origin_px[1] - column + np.arange(width, dtype=float)[None, :]
    light = sum_illumination(scan, solution.probe)
    return complex_error(solution.canvas.pixels, LOPSIDED.at(rows, columns), light > 0.2 * light.max())


def test_an_object_is_found_at_its_place(lopsided_scan: Scan, solved: Solution) -> None:
    right = error_against(solved, lopsided_scan, 0, 0)
    assert right < 0.02
    for row, column in ((0.25, 0), (-0.25, 0), (0, 0.25), (0, -0.25), (1, 0), (0, -1)):
        assert error_against(solved, lopsided_scan, row, column) > 1.5 * right


def test_no_other_orientation_fits(lopsided_scan: Scan, solved: Solution) -> None:
    right = error_against(solved, lopsided_scan, 0, 0)
    light = sum_illumination(lopsided_scan, solved.probe)
    mask = light > 0.2 * light.max()
    height, width = solved.canvas.pixels.shape
    rows = solved.canvas.origin_px[0] + np.arange(height, dtype=float)[:, None]
    columns = solved.canvas.origin_px[1] + np.arange(width, dtype=float)[None, :]
    truth = LOPSIDED.at(rows, columns)
    side = min(height, width)
    part = np.s_[:side, :side]
    for turned in (truth[::-1], truth[:, ::-1], truth[::-1, ::-1], truth.conj()):
        assert complex_error(solved.canvas.pixels, turned, mask) > 5 * right
    assert complex_error(solved.canvas.pixels[part], truth[part].T, mask[part]) > 5 * right


@pytest.mark.parametrize("wrong", ["swapped", "mirrored", "rest reversed", "rest dropped"])
def test_wrong_positions_are_told_by_the_misfit(lopsided_scan: Scan, solved: Solution, wrong: str) -> None:
    positions = lopsided_scan.positions_px
    whole = np.round(positions)
    given = {
        "swapped": positions[:, ::-1],
        "mirrored": -positions,
        "rest reversed": 2 * whole - positions,
        "rest dropped": whole,
    }[wrong]
    found = refine(replace(lopsided_scan, positions_px=given), FIXED)
    assert found.errors[-1] > 3 * solved.errors[-1]


def test_a_simulated_scan_is_reconstructed_on_the_truths_own_pixels(small_scan: Scan) -> None:
    found = refine(small_scan, RefineSettings(epochs=30, batches=8, probe_start=1))
    figures = evaluate(small_scan, found.canvas, found.probe, device=CPU)
    assert figures["complex_error"] < 0.1
    assert figures["R"] < 1.5 * figures["R_floor"]
    assert small_scan.truth is not None
    for shift in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        moved = Canvas(np.roll(found.canvas.pixels, shift, (0, 1)), found.canvas.origin_px)
        assert evaluate(small_scan, moved, found.probe, device=CPU)["complex_error"] > 1.5 * figures["complex_error"]


def test_a_wrong_probe_is_put_right(lopsided_scan: Scan) -> None:
    wrong = compact_probe(24, width=2.5).astype(np.complex64)
    settings = replace(FIXED, epochs=40)
    kept = refine(lopsided_scan, settings, probe=wrong)
    moved = refine(lopsided_scan, replace(settings, probe_start=0.1), probe=wrong)
    assert moved.errors[-1] < 0.5 * kept.errors[-1]
    assert lopsided_scan.probe is not None

    def likeness(probe: NDArray[np.complex64]) -> float:
        return float(abs(np.vdot(probe, lopsided_scan.probe)) / np.linalg.norm(probe) / 1e3)  # type: ignore[arg-type]

    assert likeness(moved.probe) > likeness(wrong) + 0.5 * (1 - likeness(wrong))


def test_poisson_beats_least_squares_when_photons_are_few(simulation: SimulationSettings) -> None:
    scan = simulate_scan(replace(simulation, photons=1e3))
    errors = {}
    for method in ("least_squares", "poisson"):
        settings = RefineSettings.from_dict({"method": method, "epochs": 30, "batches": 8, "probe_start": 1.0})
        found = refine(scan, settings)
        errors[method] = evaluate(scan, found.canvas, found.probe, device=CPU)["complex_error"]
    assert errors["poisson"] < 0.8 * errors["least_squares"]


@pytest.mark.parametrize(
    ("photons", "step_px", "method"),
    [(1e3, 12, "poisson"), (3e5, 6, "poisson"), (3e5, 14, "least_squares"), (1e6, 6, "least_squares")],
)
def test_dose_and_overlap_choose_the_solver(photons: float, step_px: float, method: str) -> None:
    scan = simulate_scan(SimulationSettings(object_px=128, photons=photons, step_px=step_px))
    assert choose_method(RefineSettings(), scan) == method
    assert refine(scan, RefineSettings(epochs=1)).method == method
    assert choose_method(RefineSettings(method="poisson"), scan) == "poisson"
    assert choose_method(RefineSettings(method="least_squares"), scan) == "least_squares"


@pytest.mark.parametrize("method", ["least_squares", "poisson"])
def test_a_start_outside_of_the_finite_numbers_is_refused(lopsided_scan: Scan, method: str) -> None:
    settings = RefineSettings.from_dict({"method": method, "epochs": 3, "batches": 2})
    height, width = 60, 60
    guess = Canvas(np.full((height, width), 1e25, np.complex64))
    with pytest.raises(DivergenceError, match="not finite"):
        refine(lopsided_scan, settings, guess=guess)


@pytest.mark.parametrize("method", ["least_squares", "poisson"])
@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_every_epoch_is_told_once(lopsided_scan: Scan, method: str, epochs: int) -> None:
    told: list[tuple[int, float | None]] = []
    settings = RefineSettings.from_dict({"method": method, "epochs": epochs, "batches": 2})
    found = refine(lopsided_scan, settings, progress=lambda done, error: told.append((done, error)))
    assert [done for done, _ in told] == list(range(1, epochs + 1))
    assert tuple(error for _, error in told) == found.errors


def test_the_same_settings_give_the_same_solution(lopsided_scan: Scan, solved: Solution) -> None:
    again, other = refine(lopsided_scan, FIXED), refine(lopsided_scan, replace(FIXED, seed=1))
    np.testing.assert_array_equal(again.canvas.pixels, solved.canvas.pixels)
    assert (other.canvas.pixels != solved.canvas.pixels).any()


def test_a_good_guess_is_a_good_start(lopsided_scan: Scan) -> None:
    # the solver gives the probe the photons that came through: the object gets the rest
    scale = np.sqrt(1e6 / lopsided_scan.photons_per_pattern)
    truth = Canvas((LOPSIDED.pixels(48, 48) * scale).astype(np.complex64))
    blind = refine(lopsided_scan, replace(FIXED, epochs=1))
    guided = refine(lopsided_scan, replace(FIXED, epochs=1), guess=truth)
    assert guided.errors[0] < 0.05 * blind.errors[0]


def test_bad_pixels_change_nothing(lopsided_scan: Scan) -> None:
    good = np.ones((24, 24), bool)
    good[12, 12:14] = False
    settings = replace(FIXED, epochs=4, probe_start=0.2)
    first, second = (
        refine(replace(lopsided_scan, counts=np.where(good, lopsided_scan.counts, value), good_pixels=good), settings)
        for value in (np.float32(0), np.float32(3e5))
    )
    np.testing.assert_allclose(first.canvas.pixels, second.canvas.pixels, atol=1e-5)


def test_modes_asked_for_are_returned_strongest_first(lopsided_scan: Scan) -> None:
    found = refine(lopsided_scan, replace(FIXED, epochs=5, probe_modes=3, probe_start=0.2))
    power = (np.abs(found.probe) ** 2).sum(axis=(1, 2))
    assert found.probe.shape == (3, 24, 24)
    assert power.tolist() == sorted(power.tolist(), reverse=True)
    assert power.sum() == pytest.approx(lopsided_scan.photons_per_pattern, rel=1e-3)


def test_the_lit_area_is_a_share_of_the_brightest(lopsided_scan: Scan, solved: Solution) -> None:
    light = sum_illumination(lopsided_scan, solved.probe)
    assert light.sum() == pytest.approx(lopsided_scan.counts.sum(), rel=1e-3)
    assert find_illuminated_area(light)[np.unravel_index(light.argmax(), light.shape)]
    assert 0.1 < find_illuminated_area(light).mean() < 0.9


def test_a_probe_whose_power_overflows_is_refused(lopsided_scan: Scan) -> None:
    scan = replace(lopsided_scan, probe=lopsided_scan.require_probe() * np.float32(1e25))
    with pytest.raises(DataError, match=r"cannot be scaled to the photons; its largest value is"):
        refine(scan, FIXED)
