"""Scans without a probe, or with a useless one, and scans of several incoherent modes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hard_scans import make_modes, measure_error

from ptycho_torch.cli.main import main
from ptycho_torch.config import RefineSettings, SimulationSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DivergenceError
from ptycho_torch.formats.npz import write_scan
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.solve import refine

SETTINGS = RefineSettings(epochs=20)
SIMULATION = SimulationSettings(object_px=112, patch_px=48, probe_diameter_px=16, step_px=6, photons=1e6)


@pytest.fixture(scope="module")
def scan() -> Scan:
    return simulate_scan(SIMULATION)


@pytest.fixture(scope="module")
def usual_error(scan: Scan) -> float:
    return measure_error(scan, refine(scan, SETTINGS))


def disc(scan: Scan, diameter_px: float) -> np.ndarray:
    offset = np.arange(scan.patch_px) - scan.patch_px // 2
    return (np.hypot(offset[:, None], offset) < diameter_px / 2).astype(np.complex64)[None]


def test_a_useless_probe_is_replaced_if_asked(scan: Scan, usual_error: float) -> None:
    useless = replace(scan, probe=disc(scan, 16))
    assert measure_error(scan, refine(useless, SETTINGS)) > 10 * usual_error
    found = refine(useless, replace(SETTINGS, probe_guess="patterns"))
    (correction,) = found.corrections
    assert correction.name == "probe"
    assert correction.is_kept
    assert correction.free_after < 0.5 * correction.free_before
    assert measure_error(scan, found) < 1.5 * usual_error


def aperture(side: int) -> np.ndarray:
    """A beam behind a pinhole, with a phase that is flat and an amplitude that is not, (1, h, w)."""
    rows, columns = np.meshgrid(*[np.arange(side) - side // 2] * 2, indexing="ij")
    texture = 1 + 0.5 * np.sin(0.9 * rows + 0.4 * columns) + 0.4 * np.cos(0.7 * columns)
    return (np.clip(8.5 - np.hypot(rows, columns), 0, 1) * texture).astype(np.complex64)[None]


@pytest.mark.slow
def test_a_beam_behind_an_aperture_is_found() -> None:
    made = simulate_scan(replace(SIMULATION, object_px=80, patch_px=32, step_px=5), aperture(32))
    error, known = (measure_error(made, refine(scan, SETTINGS)) for scan in (replace(made, probe=None), made))
    assert error < 1.15 * known


def test_the_object_that_is_found_with_a_probe_is_handed_on() -> None:
    """A smooth probe determines the object slowly: from vacuum, the epochs of a run are too few."""
    made = simulate_scan(replace(SIMULATION, object="siemens", probe="gaussian", seed=2))
    error, known = (measure_error(made, refine(scan, SETTINGS)) for scan in (replace(made, probe=None), made))
    assert error < 0.8 * known


@pytest.mark.slow
def test_a_good_probe_is_not_given_up(scan: Scan, usual_error: float) -> None:
    found = refine(scan, replace(SETTINGS, probe_guess="patterns"))
    assert measure_error(scan, found) < 1.2 * usual_error


def test_steps_that_are_too_long_are_told(scan: Scan) -> None:
    settings = RefineSettings(epochs=3, regularisation=1e-9, refine_positions="each")
    found = refine(scan, settings)
    assert found.remarks[-1].startswith("positions: not corrected, as no result was found (least squares diverged")
    assert np.isfinite(found.canvas.pixels).all()
    with pytest.raises(DivergenceError, match=r"raise RefineSettings\.regularisation"):
        refine(replace(scan, probe=None), settings)


@pytest.mark.parametrize("shares", [(0.7, 0.3), (0.6, 0.25, 0.15)])
def test_modes_are_found_from_a_single_one(scan: Scan, usual_error: float, shares: tuple[float, ...]) -> None:
    mixed = simulate_scan(SIMULATION, make_modes(scan.require_probe()[0], shares))
    true = mixed.require_probe()
    found = refine(replace(mixed, probe=true[:1]), replace(SETTINGS, epochs=30, probe_modes=len(shares)))
    assert measure_error(mixed, found) < 1.5 * usual_error
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
