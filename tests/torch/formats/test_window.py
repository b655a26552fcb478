"""Crop, bin and pad: patterns, mask, positions and probe still belong together, by a simulation of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ptycho_torch.config import DataSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ConfigError, ScanFileError
from ptycho_torch.formats import read_one_scan

SIDE = 64
PIXEL_M = 20e-9


def simulate(side: int, step_px: float = 4.0) -> dict[str, NDArray[Any]]:
    """Expected counts of a smooth object under a small probe, by NumPy's transform alone."""
    rows, columns = np.divmod(np.arange(9), 3)
    positions = step_px * np.stack([rows, columns], axis=1) + 40
    grid = np.arange(120)
    picture = np.exp(1j * (np.sin(grid[:, None] / 9) + np.cos(grid / 13) * 0.5))
    offset = np.arange(side) - side // 2
    probe = np.exp(-(offset[:, None] ** 2 + (offset - 1) ** 2) / 20 + 0.2j * offset)
    low = positions.astype(int) - side // 2
    views = np.stack([picture[row : row + side, column : column + side] for row, column in low])
    waves = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(views * probe, (-2, -1)), norm="ortho"), (-2, -1))
    counts = np.abs(waves) ** 2
    return {"data": 1e5 * counts / counts.sum(axis=(1, 2)).mean(), "scan": positions, "probe": probe}


def read(folder: Path, arrays: dict[str, Any], **settings: Any) -> Scan:
    np.savez(folder / "scan.npz", **arrays)
    return read_one_scan(folder / "scan.npz", DataSettings(units="counts", pixel_m=PIXEL_M, **settings))


def model(scan: Scan) -> NDArray[np.float64]:
    """Counts that the scan's own probe gives without an object, scaled to those of the scan."""
    assert scan.probe is not None
    wave = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(scan.probe[0])))
    found = np.abs(wave) ** 2 * scan.good_pixels
    return found * scan.counts.sum(dtype=np.float64) / len(scan) / found.sum()


def centre_of_mass(pattern: NDArray[Any]) -> list[float]:
    places = np.arange(len(pattern))
    return [float((pattern.sum(axis=axis) * places).sum() / pattern.sum()) for axis in (1, 0)]


@pytest.mark.parametrize(
    ("settings", "side", "pixel"),
    [
        ({"crop_px": 32}, 32, 2.0),
        ({"pad_px": 96}, 96, 2 / 3),
        ({"bin": 2}, 32, 1.0),
        ({"crop_px": 48, "bin": 3}, 16, 4 / 3),
        ({"crop_px": 32, "pad_px": 64, "bin": 2}, 32, 1.0),
    ],
)
def test_patterns_positions_and_probe_stay_together(
    settings: dict[str, int], side: int, pixel: float, tmp_path: Path
) -> None:
    arrays = simulate(SIDE) | {"data": simulate(SIDE)["data"]}
    empty = np.ones((9, 1, 1)) * np.abs(np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(arrays["probe"])))) ** 2
    arrays["data"] = 1e5 * empty / empty[0].sum()
    scan = read(tmp_path, arrays, **settings)
    assert scan.patch_px == side
    assert scan.pixel_m == pytest.approx(PIXEL_M * pixel)
    np.testing.assert_allclose(scan.positions_px * pixel, arrays["scan"])
    # the converted probe gives the converted patterns; a binned one is sharper by the width of a pixel
    wanted = np.where(scan.good_pixels, scan.counts[0], 0)
    np.testing.assert_allclose(centre_of_mass(model(scan)), centre_of_mass(wanted), atol=0.02)
    if settings.get("bin", 1) == 1:
        np.testing.assert_allclose(model(scan), wanted, atol=2e-3 * wanted.max())


def test_binning_adds_counts_and_masks(tmp_path: Path) -> None:
    arrays = simulate(SIDE)
    arrays["mask"] = np.zeros((SIDE, SIDE), bool)
    arrays["mask"][10, 20] = True
    scan = read(tmp_path, arrays, bin=2)
    assert np.argwhere(~scan.good_pixels).tolist() == [[5, 10]]
    whole = np.where(arrays["mask"], 0, arrays["data"])
    np.testing.assert_allclose(scan.counts.sum(), whole.sum(), rtol=1e-5)
    np.testing.assert_allclose(scan.counts[3, 8, 9], whole[3, 16:18, 18:20].sum(), rtol=1e-5)


def test_odd_and_oblong_patterns_about_a_stated_centre(tmp_path: Path) -> None:
    square = simulate(SIDE)
    odd = read(
        tmp_path, square | {"data": np.pad(square["data"], ((0, 0), (0, 1), (0, 1))), "probe": np.ones((66, 66))}
    )
    assert odd.patch_px == 66
    # the zero frequency moves from pixel 32 of 65 to pixel 33 of 66
    assert not odd.good_pixels[0].any()
    oblong = np.pad(square["data"], ((0, 0), (5, 11), (30, 2)))
    del square["probe"]
    scan = read(tmp_path, square | {"data": oblong}, centre_row_px=37, centre_column_px=62, crop_px=64)
    np.testing.assert_allclose(scan.counts, square["data"], rtol=1e-5)
    assert scan.good_pixels.all()


def test_a_beam_near_the_edge_leaves_unmeasured_pixels(tmp_path: Path) -> None:
    arrays = simulate(SIDE)
    del arrays["probe"]
    scan = read(tmp_path, arrays | {"data": arrays["data"][:, 12:]}, centre_row_px=20, centre_column_px=32, crop_px=64)
    assert not scan.good_pixels[:12].any()
    assert scan.good_pixels[12:].all()
    np.testing.assert_allclose(scan.counts[:, 12:], arrays["data"][:, 12:], rtol=1e-5)


def test_sizes_that_do_not_fit(tmp_path: Path) -> None:
    for settings, wanted in (({"crop_px": 80}, "crop_px is 80"), ({"crop_px": 32, "pad_px": 24}, "at least the 32")):
        with pytest.raises(ConfigError, match=wanted):
            read(tmp_path, simulate(SIDE), **settings)
    with pytest.raises(ConfigError, match="must be even and at least 16"):
        read(tmp_path, simulate(SIDE), crop_px=32, bin=3)
    with pytest.raises(ScanFileError, match="outside of patterns"):
        read(tmp_path, simulate(SIDE), centre_row_px=70)
