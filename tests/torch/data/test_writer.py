from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import OutputError
from ptycho_torch.formats import read_npz
from ptycho_torch.formats.npz import write_object, write_scan


@pytest.mark.parametrize("dose", [3.0, 1e3, 1e7])
def test_a_scan_reads_back_as_it_was_written(tmp_path: Path, small_scan: Scan, dose: float) -> None:
    """[DC-1.8]"""
    counts = np.random.default_rng(0).poisson(small_scan.counts * (dose / 1e6)).astype(np.float32)
    good = np.ones((32, 32), bool)
    good[5, 6] = False
    scan = replace(small_scan, counts=counts * good, good_pixels=good)
    write_scan(scan, tmp_path / "new" / "scan.npz")
    found = read_npz(tmp_path / "new" / "scan.npz")
    np.testing.assert_array_equal(found.counts, scan.counts)
    np.testing.assert_array_equal(found.positions_px, scan.positions_px)
    np.testing.assert_array_equal(found.good_pixels, good)
    assert found.probe is not None
    assert scan.probe is not None
    np.testing.assert_array_equal(found.probe, scan.probe)
    assert found.truth is not None
    assert scan.truth is not None
    np.testing.assert_array_equal(found.truth.pixels, scan.truth.pixels)


def test_counts_in_any_order_of_memory_are_written(tmp_path: Path, small_scan: Scan) -> None:
    scan = replace(small_scan, counts=small_scan.counts.swapaxes(1, 2))
    assert not scan.counts.flags.c_contiguous
    write_scan(scan, tmp_path / "scan.npz")
    np.testing.assert_array_equal(read_npz(tmp_path / "scan.npz").counts, scan.counts)


def test_positions_are_written_in_pixels_of_the_object(tmp_path: Path, small_scan: Scan) -> None:
    """[DC-1.2]"""
    assert small_scan.truth is not None
    moved = replace(
        small_scan,
        positions_px=small_scan.positions_px + np.array([100, -40]),
        truth=Canvas(small_scan.truth.pixels, (100.0, -40.0)),
    )
    write_scan(moved, tmp_path / "scan.npz")
    np.testing.assert_allclose(read_npz(tmp_path / "scan.npz").positions_px, small_scan.positions_px)
    with np.load(tmp_path / "scan.npz") as arrays:
        np.testing.assert_allclose(arrays["xcoords"], small_scan.positions_px[:, 1])
        np.testing.assert_allclose(arrays["ycoords"], small_scan.positions_px[:, 0])


def test_a_scan_without_probe_and_truth_is_written_too(tmp_path: Path, small_scan: Scan) -> None:
    write_scan(replace(small_scan, probe=None, truth=None), tmp_path / "scan.npz")
    found = read_npz(tmp_path / "scan.npz")
    assert found.probe is None
    assert found.truth is None


@pytest.mark.parametrize("pixel", [None, 2e-8])
def test_an_object_is_written_with_its_place(tmp_path: Path, pixel: float | None) -> None:
    """[DC-6.1]"""
    canvas = Canvas(np.full((4, 5), 2j, np.complex64), (7.0, -2.0), pixel)
    write_object(canvas, tmp_path / "object.npz")
    with np.load(tmp_path / "object.npz") as arrays:
        np.testing.assert_array_equal(arrays["object"], canvas.pixels)
        assert arrays["origin_px"].tolist() == [7, -2]
        assert float(arrays["pixel_m"]) == pixel if pixel else np.isnan(arrays["pixel_m"])


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, small_scan: Scan) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match=r"scan\.npz: cannot be written"):
        write_scan(small_scan, tmp_path / "taken" / "scan.npz")
