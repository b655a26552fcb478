"""Scans without a probe, or with a useless one, and scans of several incoherent modes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptycho_torch.cli.main import main
from ptycho_torch.config import RefineSettings, SimulationSettings
from ptycho_torch.data.canvas import Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DivergenceError
from ptycho_torch.evaluate.objects import complex_error, remove_ramp
from ptycho_torch.evaluate.scores import find_illuminated_area, sum_illumination
from ptycho_torch.formats.npz import write_scan
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.scan_model import Solution
from ptycho_torch.solve.solve import refine

SETTINGS = RefineSettings(epochs=20)
SIMULATION = SimulationSettings(object_px=112, patch_px=48, probe_diameter_px=16, step_px=6, photons=1e6)


@pytest.fixture(scope="module")
def scan() -> Scan:
    return simulate_scan(SIMULATION)


@pytest.fixture(scope="module")
def usual_error(scan: Scan) -> float:
    return error_of(scan, refine(scan, SETTINGS))


def error_of(scan: Scan, found: Solution) -> float:
    """Complex error after ramp removal over what the scan's own probe illuminates."""
    assert scan.truth is not None
    assert scan.probe is not None
    truth = Frame(scan.positions_px, scan.patch_px).cut_from(scan.truth)
    mask = find_illuminated_area(sum_illumination(scan, scan.probe))
    return complex_error(remove_ramp(found.canvas.pixels, truth, mask), truth, mask)


def disc(scan: Scan, diameter_px: float) -> np.ndarray:
    offset = np.arange(scan.patch_px) - scan.patch_px // 2
    return (np.hypot(offset[:, None], offset) < diameter_px / 2).astype(np.complex64)[None]


def test_a_useless_probe_is_replaced_if_asked(scan: Scan, usual_error: float) -> None:
    useless = replace(scan, probe=disc(scan, 16))
    assert error_of(scan, refine(useless, SETTINGS)) > 10 * usual_error
    found = refine(useless, replace(SETTINGS, probe_guess="patterns"))
    (correction,) = found.corrections
    assert correction.name == "probe"
    assert correction.is_kept
    assert correction.free_after < 0.5 * correction.free_before
    assert error_of(scan, found) < 1.5 * usual_error


def test_a_good_probe_is_not_given_up(scan: Scan, usual_error: float) -> None:
    found = refine(scan, replace(SETTINGS, probe_guess="patterns"))
    assert error_of(scan, found) < 1.2 * usual_error


def test_steps_that_are_too_long_are_told(scan: Scan) -> None:
    settings = RefineSettings(epochs=3, regularisation=1e-9, refine_positions="each")
    found = refine(scan, settings)
    assert found.remarks[-1].startswith("positions: not corrected, as no result was found (least squares diverged")
    assert np.isfinite(found.canvas.pixels).all()
    with pytest.raises(DivergenceError, match=r"raise RefineSettings\.regularisation"):
        refine(replace(scan, probe=None), settings)


def make_modes(scan: Scan, shares: tuple[float, ...]) -> np.ndarray:
    """The scan's probe, and the same times one tilt after another, orthogonal, with shares of the power."""
    main = scan.require_probe()[0]
    offset = np.arange(scan.patch_px) - scan.patch_px // 2
    modes: list[np.ndarray] = []
    for factor in (np.ones((1, 1)), offset[:, None], offset[None, :]):
        mode = main * factor
        for other in modes:
            mode = mode - other * np.vdot(other, mode)
        modes.append(mode / np.linalg.norm(mode))
    return np.stack([mode * share**0.5 for mode, share in zip(modes, shares, strict=False)]).astype(np.complex64)


@pytest.mark.parametrize("shares", [(0.7, 0.3), (0.6, 0.25, 0.15)])
def test_modes_are_found_from_a_single_one(scan: Scan, usual_error: float, shares: tuple[float, ...]) -> None:
    mixed = simulate_scan(SIMULATION, make_modes(scan, shares))
    true = mixed.require_probe()
    found = refine(replace(mixed, probe=true[:1]), replace(SETTINGS, epochs=30, probe_modes=len(shares)))
    assert error_of(mixed, found) < 1.5 * usual_error
    space = np.linalg.svd(found.probe.reshape(len(shares), -1), full_matrices=False)[2]
    overlaps = [np.linalg.norm(space.conj() @ mode.ravel()) / np.linalg.norm(mode) for mode in true]
    assert min(overlaps) > 0.9


def test_a_scan_needs_no_probe(scan: Scan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scan(replace(scan, probe=None), tmp_path / "scan.npz")
    files = ["--data", str(tmp_path / "scan.npz"), "--output_dir", str(tmp_path / "out")]
    assert main(["refine", *files, "--quiet", "--epochs", "20"]) == 0
    assert "remark: no probe was given; it was found from the patterns" in capsys.readouterr().out
    assert np.load(tmp_path / "out" / "probe.npy").shape == (1, 48, 48)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["phase_correlation"] > 0.98
