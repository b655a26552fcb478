"""A scan with its true object, and that object as other programs store it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from foreign_results import StoredObject

import ptycho_torch as pt
from ptycho_torch.data.scan import Scan


@pytest.fixture(scope="module")
def scan() -> Scan:
    settings = pt.SimulationSettings(
        object="dead_leaves", object_px=64, patch_px=32, probe="gaussian", probe_diameter_px=8, step_px=4,
        photons=1e6, seed=3,
    )  # fmt: skip
    return replace(pt.simulate_scan(settings), pixel_m=2e-8)


@pytest.fixture
def folder(scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    pt.write_scan(scan, tmp_path / "scan.npz")
    return tmp_path


@pytest.fixture
def stored(scan: Scan) -> StoredObject:
    """The true object and probe, in a larger array that begins elsewhere."""
    truth = scan.require_object()
    pixels = np.pad(truth.pixels, ((3, 3), (2, 2)), constant_values=1)
    corner = np.array(truth.origin_px) - (3, 2)
    return StoredObject(
        pixels, scan.require_probe(), scan.positions_px - corner, (float(corner[0]), float(corner[1])), 2e-8
    )
