"""Refinement of positions against displacements that the tests made themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hard_scans import add_vacuum, displace
from numpy_samples import LOPSIDED

from ptycho_torch.cli.main import main
from ptycho_torch.config import RefineSettings, SimulationSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.formats.npz import write_scan
from ptycho_torch.formats.ptychodus_folder import write_workflow_directory
from ptycho_torch.formats.ptychodus_product import read_product
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.displacements import find_lost, measure_displacements
from ptycho_torch.solve.positions import Affine
from ptycho_torch.solve.scan_model import ScanModel
from ptycho_torch.solve.solve import refine

CPU = torch.device("cpu")
SETTINGS = RefineSettings(epochs=15, probe_start=1, refine_positions="each")


@pytest.fixture(scope="module")
def scan() -> Scan:
    """64 patterns, with vacuum around the object so that positions may be wrong by many pixels."""
    made = simulate_scan(SimulationSettings(object_px=96, patch_px=32, probe_diameter_px=14, step_px=7, photons=1e6))
    return add_vacuum(made, 20)


def distance_px(found: Scan, scan: Scan) -> float:
    """Root mean square distance of two sets of positions, a common displacement left out."""
    difference = found.positions_px - scan.positions_px
    return float(np.linalg.norm(difference - difference.mean(axis=0)) / len(scan) ** 0.5)


@pytest.mark.parametrize("shift_px", [(0.3, 0.0), (0.0, -0.3), (-0.2, 0.25)])
@pytest.mark.parametrize("modes", [1, 2])
def test_a_step_is_the_whole_displacement(lopsided_scan: Scan, shift_px: tuple[float, float], modes: int) -> None:
    model = ScanModel(lopsided_scan, CPU, margin_px=2)
    canvas = model.start_object(Canvas(LOPSIDED.pixels(48, 48).astype(np.complex64)))
    probe = model.start_probe(None, 1)
    # the same probe as two equal modes: their intensities add up to the same patterns
    probe = probe if modes == 1 else torch.cat([probe, probe]) / 2**0.5
    probe = probe * (1e6 / lopsided_scan.photons_per_pattern) ** 0.5
    model.move(torch.from_numpy(lopsided_scan.positions_px.copy()) + torch.tensor(shift_px))
    found = measure_displacements(model, canvas, probe).numpy()
    np.testing.assert_allclose(found.mean(axis=0), -np.array(shift_px), atol=0.03)
    assert np.abs(found + shift_px).max() < 0.15


def test_lost_patterns_are_found_again(lopsided_scan: Scan) -> None:
    model = ScanModel(lopsided_scan, CPU, margin_px=8)
    canvas = model.start_object(Canvas(LOPSIDED.pixels(48, 48).astype(np.complex64)))
    probe = model.start_probe(None, 1) * (1e6 / lopsided_scan.photons_per_pattern) ** 0.5
    true = torch.from_numpy(lopsided_scan.positions_px.copy())
    wrong = true.clone()
    wrong[7] += torch.tensor([4.5, -3.0], dtype=wrong.dtype)
    model.move(wrong)
    found = find_lost(model, canvas, probe, wrong, wrong, 6.0)
    np.testing.assert_allclose(found, true, atol=1e-6)


def test_random_errors_of_the_positions_are_found(scan: Scan) -> None:
    wrong = displace(scan, np.random.default_rng(1).normal(0, 1.0, (len(scan), 2)))
    found = refine(wrong, SETTINGS)
    assert found.scan is not None
    assert distance_px(found.scan, scan) < 0.1 * distance_px(wrong, scan)
    (correction,) = found.corrections
    assert correction.is_kept
    assert correction.free_after < 0.8 * correction.free_before
    true = refine(scan, replace(SETTINGS, refine_positions="given"))
    assert found.free_error < 1.1 * true.free_error
    assert correction.figures["displacement_px"] == pytest.approx(distance_px(wrong, scan), rel=0.1)


def test_scale_rotation_and_shear_are_found(scan: Scan) -> None:
    offsets = scan.positions_px - scan.positions_px.mean(axis=0)
    wrong = displace(scan, offsets @ np.array([[0.03, -0.02], [0.02, 0.03]]))
    found = refine(wrong, replace(SETTINGS, refine_positions="affine"))
    assert found.scan is not None
    assert distance_px(found.scan, scan) < 0.1 * distance_px(wrong, scan)
    figures = found.corrections[0].figures
    assert figures["scale"] == pytest.approx(1 / 1.03, abs=3e-3)
    assert figures["rotation_deg"] == pytest.approx(np.degrees(0.02 / 1.03), abs=0.15)
    assert figures["shear"] == pytest.approx(0, abs=5e-3)


def test_the_figures_of_a_linear_map() -> None:
    positions = np.random.default_rng(0).uniform(-50, 50, (40, 2))
    angle, stretch = np.radians(7), np.diag([1.1 * 1.02, 1.1 * 0.98])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    found = Affine.between(positions, positions @ stretch @ turn + 3)
    assert found.scale == pytest.approx(1.1)
    assert found.rotation_deg == pytest.approx(7)
    assert found.shear == pytest.approx(0.04 * 1.1 / 1.1)


def test_positions_in_a_line_tell_nothing_of_the_direction_across() -> None:
    line = np.linspace(-20, 20, 9)[:, None] * [[0.6, 0.8]]
    found = Affine.between(line, 1.1 * line)
    assert (found.rotation_deg, found.scale, found.shear) == pytest.approx((0, 1.05, 0.1 / 1.05))
    assert Affine.between(line[:1], line[:1] + 2) == Affine(1, 0, 0)


def test_positions_stay_within_their_limit_and_right_ones_are_left_alone(scan: Scan) -> None:
    wrong = displace(scan, np.random.default_rng(1).normal(0, 1.0, (len(scan), 2)))
    found = refine(wrong, replace(SETTINGS, position_limit_px=0.4))
    assert found.scan is not None
    assert np.linalg.norm(found.scan.positions_px - wrong.positions_px, axis=1).max() <= 0.4 + 1e-6
    right = refine(scan, SETTINGS)
    assert right.scan is None or distance_px(right.scan, scan) < 0.05


def test_the_command_reports_before_and_after_and_draws_the_arrows(
    scan: Scan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = displace(scan, np.random.default_rng(1).normal(0, 1.0, (len(scan), 2)))
    write_scan(replace(wrong, truth=None), tmp_path / "scan.npz")
    files = ["--data", str(tmp_path / "scan.npz"), "--output_dir", str(tmp_path / "out"), "--quiet"]
    assert main(["refine", *files, "--refine_positions", "each", "--epochs", "15", "--probe_start", "1"]) == 0
    told = json.loads((tmp_path / "out" / "metrics.json").read_text())["corrections"]["positions"]
    assert told["kept"]
    assert told["R_free_after"] < told["R_free_before"]
    assert "positions: R free" in capsys.readouterr().out
    with np.load(tmp_path / "out" / "positions.npz") as stored:
        np.testing.assert_allclose(stored["given_px"], wrong.positions_px, atol=1e-3)
        assert distance_px(replace(wrong, positions_px=stored["refined_px"]), scan) < 0.1 * distance_px(wrong, scan)
    assert (tmp_path / "out" / "positions.png").read_bytes().startswith(b"\x89PNG")


def test_a_product_gets_the_refined_positions(scan: Scan, tmp_path: Path) -> None:
    """[DC-3.6]"""
    wrong = displace(scan, np.random.default_rng(1).normal(0, 1.0, (len(scan), 2)))
    write_workflow_directory(wrong, tmp_path / "scan")
    files = ["--data", str(tmp_path / "scan"), "--output_dir", str(tmp_path / "out"), "--quiet"]
    assert main(["refine", *files, "--refine_positions", "each", "--epochs", "15", "--probe_start", "1"]) == 0
    with np.load(tmp_path / "out" / "positions.npz") as positions, np.load(tmp_path / "out" / "object.npz") as canvas:
        expected_px = positions["refined_px"] - canvas["origin_px"]
    np.testing.assert_allclose(read_product(tmp_path / "out" / "product.h5").positions_px(32), expected_px, atol=1e-6)
