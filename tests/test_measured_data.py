"""Data of others: a measured Siemens star and a simulated scan, where PTYCHO_TORCH_DATA names a folder with them."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ptycho_torch as pt

FOLDER = Path(os.environ.get("PTYCHO_TORCH_DATA", ""))
STAR = FOLDER / "siemens_star.npz"
MOON = FOLDER / "foreign" / "moon_exact.npz"
SUPPLIED_PROBE_ALONE = 0.3

pytestmark = [
    pytest.mark.measured,
    pytest.mark.skipif(
        "PTYCHO_TORCH_DATA" not in os.environ or not STAR.is_file(),
        reason="PTYCHO_TORCH_DATA names no folder with siemens_star.npz",
    ),
]


@pytest.fixture(scope="module")
def star() -> pt.Scan:
    return pt.read_scans(STAR)[0]


def test_conventions_of_the_file_are_found_and_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ptycho_torch"):
        scan = pt.read_scans(STAR)[0]
    assert "read as counts" in caplog.text
    assert "zero frequency lies at the corner" in caplog.text
    assert scan.counts.shape == (516, 128, 128)
    assert scan.counts.max() == 963
    assert scan.photons_per_pattern == pytest.approx(461_000, rel=0.01)
    middle = scan.counts.mean(axis=0)[48:80, 48:80].sum() / scan.counts.mean(axis=0).sum()
    assert middle > 0.3


def test_refining_the_probe_explains_the_patterns(star: pt.Scan) -> None:
    part = star.take(np.flatnonzero(np.abs(star.positions_px).max(axis=1) < 60).astype(np.int64))
    fixed, refined = (
        pt.refine_scan(part, pt.RefineSettings(epochs=10, probe_start=start), device="cpu").metrics
        for start in (1.0, 0.1)
    )
    assert fixed["R"] > SUPPLIED_PROBE_ALONE
    assert refined["R"] < 0.5 * fixed["R"]


@pytest.mark.skipif(not MOON.is_file(), reason="the folder has no foreign/moon_exact.npz")
@pytest.mark.slow
def test_a_bright_scan_of_another_program_needs_no_probe() -> None:
    scan = pt.read_scans(MOON)[0]
    known, sought = (
        pt.refine_scan(each, pt.RefineSettings(), device="cpu") for each in (scan, replace(scan, probe=None))
    )
    assert sought.metrics["R_free"] < 3 * known.metrics["R_free"]
    assert sought.verdict.word == "good"
