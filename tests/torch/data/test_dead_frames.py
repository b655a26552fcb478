"""Frames without light, as a closed shutter leaves them, are left out of a scan and named."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from ptycho_torch.formats import read_npz

DEAD = [1, 4]


@pytest.fixture
def shuttered(tmp_path: Path) -> Path:
    """Seven patterns of about 100 photons a pixel, two of them dark but for a few stray photons."""
    counts = np.random.default_rng(5).poisson(100, (7, 16, 16))
    counts[DEAD] = 0
    counts[DEAD, 3, 5] = 2
    path = tmp_path / "shuttered.npz"
    places = np.arange(7.0)
    np.savez(path, diff3d=counts, xcoords=3 * places, ycoords=2 * places, probeGuess=np.ones((16, 16), complex))
    return path


def test_dead_frames_are_left_out_with_their_positions(shuttered: Path) -> None:
    scan = read_npz(shuttered)
    assert scan.positions_px[:, 0].tolist() == [0, 4, 6, 10, 12], "dead frames stayed in the scan"
    assert scan.counts.sum(axis=(1, 2)).min() > 20_000


def test_dead_frames_are_named(shuttered: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        read_npz(shuttered)
    assert "2 of 7 patterns are dark and left out: 1, 4" in caplog.text, "dead frames went unnoticed"
