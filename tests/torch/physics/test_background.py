from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

import ptycho_torch as pt
from ptycho_torch.errors import DataError, ScanFileError
from ptycho_torch.physics.background import add_background

SETTINGS = pt.SimulationSettings(object_px=96, patch_px=32, step_px=5, probe_diameter_px=12, photons=1e5)


@pytest.fixture(scope="module")
def lit() -> pt.Scan:
    """A scan whose patterns hold, beside the sample's photons, a fifth as many that fell everywhere."""
    clean = pt.simulate_scan(SETTINGS)
    mean = np.linspace(0.5, 1.5, 32)[:, None] * np.ones(32) * 0.2 * clean.photons_per_pattern / 32**2
    added = np.random.default_rng(1).poisson(mean, clean.counts.shape)
    return replace(clean, counts=clean.counts + added.astype(np.float32), background=mean.astype(np.float32))


def test_a_background_is_added_to_every_pattern() -> None:
    expected, background = torch.ones(3, 4, 4), torch.arange(16.0).reshape(4, 4)
    torch.testing.assert_close(add_background(expected, background), expected + background)
    assert add_background(expected, None) is expected


@pytest.mark.parametrize("method", ["least_squares", "poisson"])
def test_a_known_background_takes_the_residual_to_the_noise(
    method: Literal["least_squares", "poisson"], lit: pt.Scan
) -> None:
    settings = pt.RefineSettings(method=method, probe_start=1.0)
    known, ignored = (pt.refine_scan(scan, settings).metrics for scan in (lit, replace(lit, background=None)))
    assert known["R"] < 1.2 * known["R_floor"]
    assert ignored["R"] > 2 * known["R"]
    assert known["complex_error"] < 0.5 * ignored["complex_error"]


def test_a_background_is_written_and_read_again(lit: pt.Scan, tmp_path: Path) -> None:
    """[DC-1.10]"""
    pt.write_scan(lit, tmp_path / "scan.npz")
    (again,) = pt.read_scans(tmp_path / "scan.npz")
    assert again.background is not None
    assert lit.background is not None
    np.testing.assert_array_equal(again.background, lit.background)
    (turned,) = pt.read_scans(tmp_path / "scan.npz", pt.DataSettings(transpose=True))
    assert turned.background is not None
    np.testing.assert_array_equal(turned.background, lit.background.T)


def test_a_background_that_does_not_fit_is_refused(lit: pt.Scan, tmp_path: Path) -> None:
    pt.write_scan(lit, tmp_path / "scan.npz")
    with np.load(tmp_path / "scan.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "wrong.npz", **{**arrays, "background": np.zeros(32)})
    with pytest.raises(ScanFileError, match="background has shape"):
        pt.read_scans(tmp_path / "wrong.npz")
    with pytest.raises(DataError, match="more photons than the patterns"):
        pt.refine_scan(replace(lit, background=np.full((32, 32), 1e6, np.float32)))
