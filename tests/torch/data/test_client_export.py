"""Training data that the client exports to NPZ: its positions name the middle of the probe's array."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptycho_torch.formats import read_npz

ROWS, COLUMNS = np.array([7.5, 7.75, 9.0, 11.25]), np.array([8.5, 10.0, 8.25, 12.0])


def exported(path: Path, *left_out: str, **changes: Any) -> Path:
    """A file with the keys and types of the client's exporter."""
    offset = np.arange(16) - 8
    bright = 40 * np.exp(-(offset[:, None] ** 2 + offset**2) / 12)
    rng = np.random.default_rng(2)
    arrays: dict[str, Any] = {
        "xcoords": COLUMNS,
        "ycoords": ROWS,
        "xcoords_start": COLUMNS,
        "ycoords_start": ROWS,
        "diff3d": rng.poisson(bright, (4, 16, 16)).astype(np.uint32),
        "bad_pixels": np.zeros((16, 16), bool),
        "probeGuess": rng.normal(size=(2, 16, 16)) + 1j,
        "objectGuess": rng.normal(size=(24, 25)) + 1j,
        "scan_index": np.zeros(4, int),
    }
    arrays |= changes
    np.savez(path, **{key: value for key, value in arrays.items() if key not in left_out})
    return path


def test_positions_are_moved_to_the_pixel_under_the_middle_pixel(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """[DC-2.1] [DC-2.3]"""
    with caplog.at_level(logging.INFO, "ptycho_torch"):
        scan = read_npz(exported(tmp_path / "export.npz"))
    np.testing.assert_array_equal(scan.positions_px, np.stack([ROWS, COLUMNS], axis=1) + 0.5, "half a pixel is missing")
    assert "half a pixel" in caplog.text


def test_the_rest_is_read_as_in_a_canonical_file(tmp_path: Path) -> None:
    """[DC-2.2]"""
    path = exported(tmp_path / "export.npz")
    scan = read_npz(path)
    with np.load(path) as arrays:
        np.testing.assert_array_equal(scan.counts, arrays["diff3d"])
        assert scan.probe is not None
        np.testing.assert_array_equal(scan.probe, arrays["probeGuess"].astype(np.complex64))
        assert scan.truth is not None
        np.testing.assert_array_equal(scan.truth.pixels, arrays["objectGuess"].astype(np.complex64))


def test_an_object_of_ones_is_no_truth(tmp_path: Path) -> None:
    """[DC-2.2]"""
    assert read_npz(exported(tmp_path / "export.npz", objectGuess=np.ones((24, 25), complex))).truth is None


@pytest.mark.parametrize("left_out", [("bad_pixels",), ("xcoords_start", "ycoords_start")])
def test_canonical_files_with_some_of_the_keys_are_left_alone(tmp_path: Path, left_out: tuple[str, ...]) -> None:
    """[DC-2.1]"""
    scan = read_npz(exported(tmp_path / "canonical.npz", *left_out))
    np.testing.assert_array_equal(scan.positions_px, np.stack([ROWS, COLUMNS], axis=1))
