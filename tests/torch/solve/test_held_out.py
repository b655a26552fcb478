"""Detector pixels that are not fitted: who holds out which, that nothing learns from them, and what they tell."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from ptycho_torch.cli.main import main
from ptycho_torch.config import RefineSettings, SimulationSettings
from ptycho_torch.data.canvas import Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.objects import complex_error
from ptycho_torch.evaluate.scores import evaluate, find_illuminated_area, sum_illumination
from ptycho_torch.formats.npz import write_scan
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.scan_model import ScanModel, Solution
from ptycho_torch.solve.solve import refine

CPU = torch.device("cpu")
FITS_NOISE = RefineSettings(method="least_squares", epochs=60)


@pytest.fixture(scope="module")
def dim_scan() -> Scan:
    """So few photons that least squares soon fits their noise."""
    return simulate_scan(SimulationSettings(object_px=144, photons=1e3))


def held_out_mask(model: ScanModel) -> np.ndarray:
    """(pattern, h, w) whether a pixel is held out, centred."""
    mask = torch.zeros(len(model.scan), *model.good.shape)
    mask.flatten(1).scatter_(1, model.held_out.index(model.patterns), 1)
    return np.fft.fftshift(mask.numpy(), axes=(1, 2)) > 0


def error_of(scan: Scan, found: Solution) -> float:
    assert scan.truth is not None
    truth = Frame(scan.positions_px, scan.patch_px).cut_from(scan.truth)
    return complex_error(found.canvas.pixels, truth, find_illuminated_area(sum_illumination(scan, found.probe)))


def test_each_pattern_holds_out_its_own_share_of_the_good_pixels(lopsided_scan: Scan) -> None:
    good = np.ones((24, 24), bool)
    good[:5] = False
    scan = replace(lopsided_scan, good_pixels=good)
    mask = held_out_mask(ScanModel(scan, CPU, held_out_share=0.1, seed=4))
    assert (mask.sum(axis=(1, 2)) == round(0.1 * good.sum())).all()
    assert not mask[:, ~good].any()
    assert (mask[0] != mask[1]).any()
    # no good pixel is spared, and none is held out by most patterns
    assert 0 < mask.mean(axis=0)[good].max() < 0.5
    np.testing.assert_array_equal(mask, held_out_mask(ScanModel(scan, CPU, held_out_share=0.1, seed=4)))
    assert (mask != held_out_mask(ScanModel(scan, CPU, held_out_share=0.1, seed=5))).any()


@pytest.mark.parametrize("method", ["least_squares", "poisson"])
def test_nothing_learns_from_held_out_pixels(small_scan: Scan, method: Literal["least_squares", "poisson"]) -> None:
    settings = RefineSettings(method=method, epochs=4, probe_start=0.25, probe_modes=2, held_out=0.1, patience=99)
    mask = held_out_mask(ScanModel(small_scan, CPU, held_out_share=settings.held_out, seed=settings.seed))
    # the same photons, so that the probe's power stays, on other held-out pixels
    counts = small_scan.counts.copy()
    counts[mask] = np.random.default_rng(0).permutation(counts[mask])
    spoilt = replace(small_scan, counts=counts)
    found, again = refine(small_scan, settings), refine(spoilt, settings)
    scale = np.abs(found.canvas.pixels).max()
    np.testing.assert_allclose(again.canvas.pixels, found.canvas.pixels, atol=1e-4 * scale)
    np.testing.assert_allclose(again.probe, found.probe, atol=1e-4 * np.abs(found.probe).max())
    assert again.free_errors[-1] > 2 * found.free_errors[-1]


def test_the_figures_of_a_result_contain_r_over_held_out_pixels(small_scan: Scan) -> None:
    settings = RefineSettings(epochs=4, held_out=0.05, seed=7)
    found = refine(small_scan, settings)
    figures = evaluate(small_scan, found.canvas, found.probe, device=CPU, held_out=settings)
    spoilt = small_scan.counts.copy()
    mask = held_out_mask(ScanModel(small_scan, CPU, held_out_share=0.05, seed=7))
    spoilt[~mask] = np.random.default_rng(0).permutation(spoilt[~mask])
    other = evaluate(replace(small_scan, counts=spoilt), found.canvas, found.probe, device=CPU, held_out=settings)
    assert other["R_free"] == pytest.approx(figures["R_free"], rel=1e-5)
    assert other["R"] > 2 * figures["R"]
    assert figures["R_free"] == pytest.approx(found.free_errors[-1], rel=0.2)
    assert "R_free" not in evaluate(small_scan, found.canvas, found.probe, device=CPU)


def test_a_solver_that_fits_noise_stops_and_goes_back(dim_scan: Scan) -> None:
    found = refine(dim_scan, FITS_NOISE)
    (remark,) = found.remarks
    assert remark.startswith(f"stopped after epoch {len(found.errors)} of 60: ")
    assert remark.endswith("fit noise")
    assert len(found.errors) < 60
    alone = refine(dim_scan, replace(FITS_NOISE, held_out=0))
    assert not alone.remarks
    assert not alone.free_errors
    assert error_of(dim_scan, found) < 0.9 * error_of(dim_scan, alone)


def test_a_solver_with_photons_enough_runs_to_its_last_epoch(small_scan: Scan) -> None:
    found = refine(small_scan, RefineSettings(epochs=40))
    assert len(found.errors) == len(found.free_errors) == 40
    assert not found.remarks


def test_automatic_choice_drops_the_poisson_solver_where_it_predicts_worse(dim_scan: Scan) -> None:
    smooth = RefineSettings(epochs=15, total_variation=1e3)
    assert refine(dim_scan, replace(smooth, method="poisson")).method == "poisson"
    found = refine(dim_scan, smooth)
    assert found.method == "least_squares"
    assert "predicts held-out pixels better than poisson" in found.remarks[-1]


def test_held_out_pixels_may_be_few_and_dark(small_scan: Scan, tmp_path: Path) -> None:
    counts = np.zeros_like(small_scan.counts)
    counts[::9, 12, 17] = 1
    write_scan(replace(small_scan, counts=counts, truth=None), tmp_path / "scan.npz")
    files = ["--data", str(tmp_path / "scan.npz"), "--output_dir", str(tmp_path / "out"), "--quiet"]
    assert main(["refine", *files, "--held_out", "1e-6", "--epochs", "3"]) in {0, 3}
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert np.isfinite([metrics["R_free"], *metrics["R_free_by_epoch"]]).all()
    assert len(metrics["R_free_by_epoch"]) == 3


def test_the_command_prints_and_stores_what_held_out_pixels_tell(
    dim_scan: Scan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_scan(dim_scan, tmp_path / "scan.npz")
    options = ["--method", "least_squares", "--epochs", "60"]
    files = ["--data", str(tmp_path / "scan.npz"), "--output_dir", str(tmp_path / "out")]
    assert main(["refine", *files, *options, "--quiet"]) in {0, 3}
    printed = capsys.readouterr().out
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["R_floor"] < metrics["R_free"]
    assert metrics["R"] < metrics["R_free"]
    assert len(metrics["R_by_epoch"]) == len(metrics["R_free_by_epoch"]) < 60
    assert f"R_free {metrics['R_free']:.4g}" in printed
    assert f"remark: {metrics['remarks'][0]}" in printed
