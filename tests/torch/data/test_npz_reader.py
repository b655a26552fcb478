from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptycho_torch.config import DataSettings
from ptycho_torch.data.make_scan import to_modes
from ptycho_torch.errors import DataError, ScanFileError
from ptycho_torch.formats.npz import read_npz

PATTERNS = 6


def photons(seed: int = 0) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Whole counts that are brightest in the middle, no two pixels alike by symmetry."""
    offset = np.arange(16) - 8
    bright = 400 * np.exp(-(offset[:, None] ** 2 + offset**2) / 12) + 3
    return np.random.default_rng(seed).poisson(bright, (PATTERNS, 16, 16))


def canonical(**changes: Any) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        "diff3d": np.sqrt(photons()).astype(np.float32),
        "xcoords": np.array([20.0, 22.5, 25.0, 20.25, 22.0, 25.0]),
        "ycoords": np.array([10.0, 10.0, 10.5, 13.0, 13.0, 12.75]),
        "probeGuess": (np.eye(16) + 1j).astype(np.complex64),
        "objectGuess": (np.ones((30, 40)) + 0.1j * np.arange(40)).astype(np.complex64),
    }
    arrays |= changes
    return {key: value for key, value in arrays.items() if value is not None}


def plain(**changes: Any) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        "data": photons().astype(np.uint16)[None],
        "scan": np.stack([canonical()["ycoords"], canonical()["xcoords"]], axis=1)[None],
        "probe": np.ones((1, 1, 16, 16), np.complex64),
        "mask": np.eye(16, dtype=bool),
    }
    arrays |= changes
    return {key: value for key, value in arrays.items() if value is not None}


def stored(folder: Path, arrays: dict[str, Any]) -> Path:
    path = folder / "measured.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("key", ["diff3d", "diffraction"])
def test_the_canonical_layout(tmp_path: Path, key: str) -> None:
    """[DC-1.1] [DC-1.2]"""
    arrays = canonical()
    arrays[key] = arrays.pop("diff3d")
    scan = read_npz(stored(tmp_path, arrays))
    np.testing.assert_array_equal(scan.counts, photons())
    np.testing.assert_array_equal(scan.positions_px[1], [10.0, 22.5])
    assert scan.probe is not None
    np.testing.assert_array_equal(scan.probe[0], arrays["probeGuess"])
    assert scan.truth is not None
    np.testing.assert_array_equal(scan.truth.pixels, arrays["objectGuess"])
    assert scan.good_pixels.all()
    assert scan.name == "measured.npz"


def test_the_plain_layout(tmp_path: Path) -> None:
    """[DC-1.9]"""
    scan = read_npz(stored(tmp_path, plain()))
    np.testing.assert_array_equal(scan.counts, np.where(np.eye(16), 0, photons()))
    np.testing.assert_array_equal(scan.positions_px[1], [10.0, 22.5])
    np.testing.assert_array_equal(scan.good_pixels, ~np.eye(16, dtype=bool))
    assert scan.probe is not None
    assert scan.probe.shape == (1, 16, 16)
    assert scan.truth is None


def test_probe_and_object_may_be_missing(tmp_path: Path) -> None:
    scan = read_npz(stored(tmp_path, canonical(probeGuess=None, objectGuess=None)))
    assert scan.probe is None
    assert scan.truth is None


def test_an_empty_object_guess_is_no_truth(tmp_path: Path) -> None:
    """[DC-1.6]"""
    assert read_npz(stored(tmp_path, canonical(objectGuess=np.ones((5, 5), complex)))).truth is None


def test_a_real_object_guess_that_is_constant_is_no_truth(tmp_path: Path) -> None:
    """[DC-1.4]"""
    assert read_npz(stored(tmp_path, canonical(objectGuess=np.ones((5, 5))))).truth is None


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32, np.float64])
def test_integer_and_float_counts_stay_what_they_are(tmp_path: Path, kind: Any) -> None:
    """[DC-1.3]"""
    scan = read_npz(stored(tmp_path, canonical(diff3d=photons().astype(kind))))
    np.testing.assert_array_equal(scan.counts, photons())


def test_the_old_order_with_patterns_last(tmp_path: Path) -> None:
    """[DC-1.5]"""
    old = np.moveaxis(canonical()["diff3d"], 0, 2)
    np.testing.assert_array_equal(read_npz(stored(tmp_path, canonical(diff3d=old))).counts, photons())


def test_as_many_patterns_as_pixels_are_not_moved(tmp_path: Path) -> None:
    counts = np.random.default_rng(1).poisson(60, (16, 16, 16))
    arrays = canonical(diff3d=counts, xcoords=np.full(16, 20.0), ycoords=np.full(16, 12.0))
    np.testing.assert_array_equal(
        read_npz(stored(tmp_path, arrays), DataSettings(zero_frequency="centre")).counts, counts
    )


def test_the_direct_beam_in_the_corner_is_moved_to_the_middle(tmp_path: Path) -> None:
    corner = np.fft.ifftshift(canonical()["diff3d"], axes=(1, 2))
    np.testing.assert_array_equal(read_npz(stored(tmp_path, canonical(diff3d=corner))).counts, photons())


@pytest.mark.parametrize("modes", [(16, 16), (3, 16, 16), (1, 1, 3, 16, 16)])
def test_probes_flat_and_with_modes(tmp_path: Path, modes: tuple[int, ...]) -> None:
    """[DC-1.6]"""
    probe = np.random.default_rng(0).normal(size=modes) + 1j
    scan = read_npz(stored(tmp_path, canonical(probeGuess=probe)))
    assert scan.probe is not None
    np.testing.assert_array_equal(scan.probe, probe.reshape(-1, 16, 16).astype(np.complex64))


def test_a_probe_given_replaces_the_files(tmp_path: Path) -> None:
    scan = read_npz(stored(tmp_path, canonical()), probe=np.full((2, 16, 16), 5j))
    assert scan.probe is not None
    np.testing.assert_array_equal(scan.probe, np.full((2, 16, 16), 5j))


@pytest.mark.parametrize("value", [np.nan, 1e7, -3.0])
def test_values_on_bad_pixels_mean_nothing(tmp_path: Path, value: float) -> None:
    """[DC-1.6]"""
    bad = np.zeros((16, 16), bool)
    bad[2, 3] = True
    counts = photons().astype(np.float32)
    counts[:, 2, 3] = value
    scan = read_npz(stored(tmp_path, canonical(diff3d=counts, bad_pixels=bad)), DataSettings(units="counts"))
    np.testing.assert_array_equal(scan.counts, np.where(bad, 0, photons()))
    np.testing.assert_array_equal(scan.good_pixels, ~bad)


def test_units_are_detected_on_good_pixels(tmp_path: Path) -> None:
    bad = np.zeros((16, 16), bool)
    bad[2, 3] = True
    counts = photons().astype(np.float32)
    counts[:, 2, 3] = np.nan
    np.testing.assert_array_equal(
        read_npz(stored(tmp_path, canonical(diff3d=counts, bad_pixels=bad))).counts, np.where(bad, 0, photons())
    )


def test_the_mask_is_turned_with_the_patterns(tmp_path: Path) -> None:
    bad = np.zeros((16, 16), bool)
    bad[2, 3] = bad[9, 14] = True
    arrays = canonical(diff3d=photons(), bad_pixels=bad)
    settings = DataSettings(transpose=True, flip_rows=True, zero_frequency="corner")
    counts = read_npz(stored(tmp_path, arrays), settings)
    assert (~counts.good_pixels).sum() == 2
    assert (counts.counts[:, ~counts.good_pixels] == 0).all()
    assert (counts.counts[:, counts.good_pixels] > 0).mean() > 0.9


def test_positions_may_be_exchanged(tmp_path: Path) -> None:
    arrays = canonical(objectGuess=None)
    usual = read_npz(stored(tmp_path, arrays)).positions_px
    swapped = read_npz(stored(tmp_path, arrays), DataSettings(swap_positions=True)).positions_px
    np.testing.assert_array_equal(swapped, usual[:, ::-1])


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        (canonical(diff3d=None), r"patterns, .* contains objectGuess \(30, 40\), probeGuess .*, xcoords"),
        (canonical(xcoords=None), "'xcoords' is missing"),
        (canonical(ycoords=None), "'ycoords' is missing"),
        (plain(scan=None), "no positions; the file contains data"),
        ({}, "patterns, .* contains no arrays"),
        (canonical(ycoords=np.ones(4)), "6 xcoords and 4 ycoords"),
        (canonical(xcoords=np.ones(4), ycoords=np.ones(4)), r"positions have shape \(4, 2\); .* \(6, 2\)"),
        (plain(scan=np.ones((6, 3))), r"positions have shape \(6, 3\)"),
        (canonical(diff3d=np.ones((6, 16))), r"patterns have shape \(6, 16\)"),
        (canonical(diff3d=np.ones((6, 16, 12))), "patterns have 16 × 12 px"),
        (canonical(diff3d=photons() + 0j), "patterns are of type complex128"),
        (canonical(diff3d=np.full((6, 16, 16), np.nan)), "consist of NaN"),
        (canonical(diff3d=-1 - photons()), "negative or saturated"),
        (canonical(diff3d=-photons().astype(float)), "cannot be negative|can be negative"),
        (canonical(diff3d=np.zeros((6, 16, 16))), "no photons on good pixels"),
        (canonical(diff3d=np.zeros((0, 16, 16)), xcoords=np.zeros(0), ycoords=np.zeros(0)), "the scan is empty"),
        (canonical(xcoords=np.full(6, np.nan)), "positions contain NaN"),
        (canonical(xcoords=np.full(6, 200.0)), "6 positions lie outside the object"),
        (canonical(probeGuess=np.ones(16)), r"the probe has shape \(16,\)"),
        (canonical(probeGuess=np.ones((32, 32), complex)), r"the probe has shape \(1, 32, 32\)"),
        (canonical(probeGuess=np.array("wave")), "the probe has shape"),
        (canonical(bad_pixels=np.zeros((8, 8), bool)), "mask"),
        (canonical(objectGuess=np.arange(1200.0).reshape(30, 40)), "the object is of type float64; .* complex"),
        (canonical(objectGuess=np.array([["a", "b"]])), "the object is of type <U1; .* complex"),
    ],
)
def test_files_that_hold_no_scan_are_refused_by_name(tmp_path: Path, arrays: dict[str, Any], complaint: str) -> None:
    """[DC-1.4] [DC-1.7]"""
    with pytest.raises(DataError, match=complaint) as raised:
        read_npz(stored(tmp_path, arrays))
    assert "measured.npz" in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScanFileError, match=r"absent\.npz: .*does not exist"):
        read_npz(tmp_path / "absent.npz")


def test_pickled_objects_are_never_opened(tmp_path: Path) -> None:
    """[DC-1.7]"""
    path = tmp_path / "evil.npz"
    np.savez(path, diff3d=np.array([{"run": "me"}], dtype=object))
    with pytest.raises(ScanFileError, match="contains pickled objects"):
        read_npz(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    """[DC-1.7]"""
    path = stored(tmp_path, canonical())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ScanFileError, match="is not a readable NPZ file"):
        read_npz(path)


def test_a_file_with_a_flipped_byte_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path, canonical())
    content = bytearray(path.read_bytes())
    content[2000] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ScanFileError, match="is not a readable NPZ file"):
        read_npz(path)


@pytest.mark.parametrize("place", [60, 300, 2000])
def test_a_compressed_file_with_spoiled_bytes_is_refused(tmp_path: Path, place: int) -> None:
    path = tmp_path / "measured.npz"
    np.savez_compressed(path, **canonical())
    content = bytearray(path.read_bytes())
    content[place : place + 40] = bytes(range(100, 140))
    path.write_bytes(content)
    with pytest.raises(ScanFileError, match="is not a readable NPZ file"):
        read_npz(path)


def test_a_file_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "claims.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("diff3d.npy", b"")
        archive.infolist()[0].file_size = 2**37
    with pytest.raises(ScanFileError, match=r"diff3d\.npy .* 128 GiB; .* 64 GiB"):
        read_npz(path)


def test_any_numeric_probe_becomes_complex() -> None:
    """[DC-1.4]"""
    found = to_modes(np.ones((16, 16), np.int32), "mine")
    assert found.dtype == np.complex64
    assert found.shape == (1, 16, 16)
