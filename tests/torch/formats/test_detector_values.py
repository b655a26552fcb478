"""What detectors write where they have counted nothing, and what is done to the values of the others."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ptycho_torch.config import DataSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats import read_one_scan

SIDE = 16
BAD = (3, 12)


def counts() -> NDArray[np.int64]:
    offset = np.arange(SIDE) - SIDE // 2
    return np.random.default_rng(2).poisson(90 * np.exp(-(offset[:, None] ** 2 + offset**2) / 10), (6, SIDE, SIDE))


def read(folder: Path, stored: NDArray[Any], **settings: Any) -> Scan:
    positions = np.random.default_rng(1).uniform(0, 20, (6, 2))
    np.savez(folder / "scan.npz", data=stored, scan=positions)
    return read_one_scan(folder / "scan.npz", DataSettings(**settings))


@pytest.mark.parametrize(
    ("kind", "value", "word"),
    [
        ("f4", np.nan, "NaN or infinite"),
        ("f8", np.inf, "NaN or infinite"),
        ("i4", -1, r"negative \(-1\)"),
        ("f4", -2, r"negative \(-2\)"),
        ("u2", 2**16 - 1, "saturated"),
        ("u4", 2**32 - 1, "saturated"),
        ("i8", 2**63 - 1, "saturated"),
    ],
)
def test_a_mark_becomes_a_bad_pixel_with_a_word(
    kind: str, value: float, word: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored = counts().astype(kind)
    stored[2, BAD[0], BAD[1]] = value
    scan = read(tmp_path, stored)
    assert np.argwhere(~scan.good_pixels).tolist() == [list(BAD)]
    wanted = counts()
    wanted[:, BAD[0], BAD[1]] = 0
    np.testing.assert_array_equal(scan.counts, wanted)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert re.search(rf"scan\.npz: 1 pixels \(0\.39 %\) are masked: 1 {word}$", warnings[0])


def test_a_lost_pattern_is_left_out_and_masks_nothing(tmp_path: Path) -> None:
    stored = counts().astype(float)
    stored[4] = np.nan
    # with or without gaps that a mask tells
    for rows in (0, 3):
        bad = np.zeros((SIDE, SIDE), bool)
        bad[:rows] = True
        np.save(tmp_path / "mask.npy", bad)
        scan = read(tmp_path, stored, mask=str(tmp_path / "mask.npy"))
        assert len(scan) == 5
        np.testing.assert_array_equal(scan.good_pixels, ~bad)
        np.testing.assert_array_equal(scan.counts, np.where(bad, 0, np.delete(counts(), 4, axis=0)))


def test_whole_noise_around_zero_is_no_mark(tmp_path: Path) -> None:
    for spread in (1, 4):
        stored = counts() + np.random.default_rng(0).integers(-spread, spread + 1, counts().shape)
        scan = read(tmp_path, stored)
        assert scan.good_pixels.all()
        np.testing.assert_array_equal(scan.counts, np.maximum(stored, 0))


def test_noise_around_zero_is_set_to_zero_and_not_masked(tmp_path: Path) -> None:
    stored = counts() + np.random.default_rng(0).normal(0, 0.3, counts().shape)
    scan = read(tmp_path, stored, units="counts")
    assert scan.good_pixels.all()
    np.testing.assert_allclose(scan.counts, np.maximum(stored, 0), rtol=1e-6)
    with pytest.raises(ScanFileError, match=r"amplitudes cannot be negative: .* add --units counts"):
        read(tmp_path, stored)


def test_dark_flat_gain_and_saturation(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    dark, flat = rng.uniform(90, 110, (SIDE, SIDE)), rng.uniform(0.5, 1.5, (SIDE, SIDE))
    flat[1, 2] = 0
    stored = counts() * flat * 12.0 + dark
    np.save(tmp_path / "dark.npy", np.stack([dark - 1, dark + 1]))
    Image.fromarray(flat.astype(np.float32)).save(tmp_path / "flat.tif")
    files = {"dark": str(tmp_path / "dark.npy"), "flat": str(tmp_path / "flat.tif")}
    scan = read(tmp_path, stored, units="counts", gain=12.0, **files)
    assert np.argwhere(~scan.good_pixels).tolist() == [[1, 2]]
    np.testing.assert_allclose(scan.counts, np.where(scan.good_pixels, counts(), 0), atol=2e-4)
    limit = float(np.sort(stored.max(axis=0).ravel())[-3])
    masked = read(tmp_path, stored, units="counts", saturation=limit)
    np.testing.assert_array_equal(masked.good_pixels, (stored < limit).all(axis=0))


@pytest.mark.parametrize("form", ["npy", "png", "rgba.png", "palette.png", "txt", "key", "inverse"])
def test_a_mask_in_any_form(form: str, tmp_path: Path) -> None:
    bad = np.zeros((SIDE, SIDE), bool)
    bad[BAD] = bad[5, 5] = True
    reference = str(tmp_path / f"mask.{form}")
    if form.endswith("png"):
        picture = Image.fromarray(bad.astype(np.uint8) * 255)
        if form == "rgba.png":
            picture = picture.convert("RGBA")
        elif form == "palette.png":
            # white is colour 0
            picture = Image.fromarray((~bad).astype(np.uint8), "P")
            picture.putpalette([255] * 3 + [0] * 3)
        picture.save(reference)
    elif form == "txt":
        np.savetxt(reference, bad.astype(int), fmt="%d")
    elif form == "key":
        np.savez(tmp_path / "other.npz", gaps=bad, more=bad)
        reference = f"{tmp_path / 'other.npz'}:gaps"
    else:
        reference = str(tmp_path / "mask.npy")
        np.save(reference, ~bad if form == "inverse" else bad)
    np.testing.assert_array_equal(read(tmp_path, counts(), mask=reference).good_pixels, ~bad)


def test_what_is_named_and_does_not_exist_is_listed(tmp_path: Path) -> None:
    with pytest.raises(ScanFileError, match=r"'gaps' is missing; the file contains data \(6, 16, 16\), scan \(6, 2\)"):
        read(tmp_path, counts(), mask="gaps")
    with pytest.raises(ScanFileError, match=r"'scan' has shape \(6, 2\); patterns must have three axes"):
        read(tmp_path, counts(), patterns="scan")
    (tmp_path / "heading.csv").write_text("row,column\n# none\n\n")
    with pytest.raises(ScanFileError, match=r"heading\.csv: is not a readable table of numbers \(no numbers\)"):
        read(tmp_path, counts(), positions=str(tmp_path / "heading.csv"))
    np.savez(tmp_path / "three.npz", a=np.ones(3), b=np.ones(3))
    with pytest.raises(ScanFileError, match=r"a \(3,\), b \(3,\); name one of them as three\.npz:NAME"):
        read(tmp_path, counts(), dark=str(tmp_path / "three.npz"))
