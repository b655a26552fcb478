"""Positions that a scanner has lost: the patterns are named, and left out on request."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptycho_torch.config import DataSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.doctor import examine_file
from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats import read_one_scan

LOST = [3, 7, 8, 9]


@pytest.fixture
def path(small_scan: Scan, tmp_path: Path) -> Path:
    positions_px = small_scan.positions_px.copy()
    positions_px[LOST, [0, 1, 0, 1]] = np.nan, np.inf, np.nan, np.nan
    np.savez(tmp_path / "scan.npz", data=small_scan.counts, scan=positions_px, probe=small_scan.require_probe())
    return tmp_path / "scan.npz"


def test_patterns_without_a_position_are_named(path: Path) -> None:
    with pytest.raises(ScanFileError, match=r"first that of pattern 3; .* --leave_out 3,7-9$"):
        read_one_scan(path)
    with pytest.raises(ScanFileError, match=r"--leave_out 3,7-9$"):
        read_one_scan(path, DataSettings(leave_out="3"))


def test_they_are_left_out_on_request(path: Path, small_scan: Scan) -> None:
    scan = read_one_scan(path, DataSettings(leave_out="3,7-9"))
    kept = np.setdiff1d(np.arange(len(small_scan)), LOST)
    np.testing.assert_array_equal(scan.counts, small_scan.counts[kept])
    np.testing.assert_allclose(np.diff(scan.positions_px, axis=0), np.diff(small_scan.positions_px[kept], axis=0))


def test_an_offset_moves_the_lost_positions(path: Path, small_scan: Scan) -> None:
    with pytest.raises(ScanFileError, match=r"--leave_out 1,5-7$"):
        read_one_scan(path, DataSettings(position_offset=2))
    scan = read_one_scan(path, DataSettings(position_offset=2, leave_out="1,5-7"))
    assert len(scan) == len(small_scan) - 2 - len(LOST)
    assert np.isfinite(scan.positions_px).all()


def test_the_doctor_recommends_to_leave_them_out(path: Path) -> None:
    found = examine_file(path)
    assert found.recommended["data"]["leave_out"] == "3,7-9"
    assert "4 of" in next(finding.text for finding in found.findings if finding.name == "lost positions")


def test_the_doctor_concludes_about_few_patterns_without_a_probe(small_scan: Scan, tmp_path: Path) -> None:
    positions_px = small_scan.positions_px[:6].copy()
    positions_px[4] = np.nan
    np.savez(tmp_path / "few.npz", data=small_scan.counts[:6], scan=positions_px)
    found = examine_file(tmp_path / "few.npz")
    assert found.word == "doubtful"
    assert found.recommended["data"]["leave_out"] == "4"
