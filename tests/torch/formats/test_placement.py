"""Units of positions, geometry, turns and rasters: against figures computed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptycho_torch.config import DataSettings
from ptycho_torch.data.geometry import Geometry, electron_wavelength_m, photon_wavelength_m
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ConfigError, DataError, ScanFileError
from ptycho_torch.formats import read_one_scan

SIDE = 32
POSITIONS = 3.0 * np.stack(np.divmod(np.arange(12), 4), axis=1)


def read(folder: Path, positions: Any = POSITIONS, side: int = SIDE, **settings: Any) -> Scan:
    counts = np.random.default_rng(0).poisson(60, (12, side, side))
    arrays = {} if positions is None else {"positions": positions}
    np.savez(folder / "scan.npz", diffraction=counts, **arrays)
    return read_one_scan(folder / "scan.npz", DataSettings(zero_frequency="centre", **settings))


def test_wavelengths_are_those_of_the_tables() -> None:
    assert photon_wavelength_m(8047.8) == pytest.approx(1.5406e-10, rel=1e-4)  # copper K alpha
    assert electron_wavelength_m(300e3) == pytest.approx(1.9687e-12, rel=1e-4)
    assert electron_wavelength_m(80e3) == pytest.approx(4.1757e-12, rel=1e-4)


def test_the_object_pixel_by_each_way(tmp_path: Path) -> None:
    wanted = 1.2398419843e-6 / 7200 * 7.19 / (SIDE * 172e-6)
    lengths: dict[str, Any] = {"distance_m": 7.19, "detector_pixel_m": 172e-6, "position_unit": "px"}
    assert read(tmp_path, energy_ev=7200.0, **lengths).pixel_m == pytest.approx(wanted)
    assert read(tmp_path, wavelength_m=photon_wavelength_m(7200), **lengths).pixel_m == pytest.approx(wanted)
    electrons = read(tmp_path, electron_energy_ev=80e3, detector_pixel_mrad=0.8, position_unit="px")
    assert electrons.pixel_m == pytest.approx(electron_wavelength_m(80e3) / (SIDE * 0.8e-3))
    assert read(tmp_path).pixel_m is None
    with pytest.raises(ConfigError, match="exclude each other"):
        read(tmp_path, energy_ev=7200.0, wavelength_m=1e-10)


@pytest.mark.parametrize(("unit", "factor"), [("m", 1), ("mm", 1e3), ("um", 1e6), ("nm", 1e9), ("px", None)])
@pytest.mark.parametrize("is_told", [False, True])
def test_units_are_told_apart_by_the_object_pixel(
    unit: Any, factor: float | None, is_told: bool, tmp_path: Path
) -> None:
    pixel = 27e-9
    stored = POSITIONS if factor is None else POSITIONS * pixel * factor
    settings: dict[str, Any] = {"pixel_m": pixel} | ({"position_unit": unit} if is_told else {})
    np.testing.assert_allclose(read(tmp_path, stored, **settings).positions_px, POSITIONS)


def test_two_likely_units_are_not_guessed(tmp_path: Path) -> None:
    # 3 px, or 3 nm = 3 px
    with pytest.raises(ScanFileError, match=r"unit .* cannot be told: .* in px.* in nm|in nm.* in px.*--position_unit"):
        read(tmp_path, pixel_m=1e-9)
    with pytest.raises(DataError, match="seem to be in metres"):
        read(tmp_path, POSITIONS * 1e-8)


@pytest.mark.parametrize(("factor", "is_usual"), [(0.1, False), (1, True), (20, False)])
def test_an_unusual_step_is_told_if_no_object_pixel_tells_the_unit(
    factor: float, is_usual: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read(tmp_path, POSITIONS * factor)
    found = [record.message for record in caplog.records if "unusual" in record.message]
    step = f"neighbours are {3 * factor:g} px apart"
    assert [step in message and "--position_unit" in message for message in found] == [True] * (not is_usual)


def test_a_raster_without_positions(tmp_path: Path) -> None:
    found = read(tmp_path, None, raster_columns=4, step_px=3.0).positions_px
    np.testing.assert_array_equal(found, POSITIONS)
    found = read(tmp_path, None, raster_columns=4, step_m=6e-8, pixel_m=2e-8).positions_px
    np.testing.assert_allclose(found, POSITIONS)
    with pytest.raises(ScanFileError, match="12 patterns do not fill a raster with 5 columns"):
        read(tmp_path, None, raster_columns=5, step_px=3.0)
    with pytest.raises(ScanFileError, match="specify --step_m or --step_px"):
        read(tmp_path, None, raster_columns=4)


def test_turns_of_the_positions(tmp_path: Path) -> None:
    rows, columns = POSITIONS.T
    for settings, wanted in [
        ({"swap_positions": True}, (columns, rows)),
        ({"flip_position_rows": True}, (-rows, columns)),
        ({"flip_position_columns": True}, (rows, -columns)),
        ({"position_scale": 1.5}, (1.5 * rows, 1.5 * columns)),
        # rows turn towards columns
        ({"position_rotation_deg": 90.0}, (-columns, rows)),
        ({"swap_positions": True, "position_rotation_deg": 90.0}, (-rows, columns)),
    ]:
        found = read(tmp_path, **settings).positions_px  # type: ignore[arg-type]
        np.testing.assert_allclose(found, np.stack(wanted, axis=1), atol=1e-9)


def test_near_fields_are_told_from_far_fields_by_the_geometry() -> None:
    def is_near(wavelength: float, distance: float, pixel: float, side: int, step: float) -> bool:
        geometry = Geometry(wavelength_m=wavelength, distance_m=distance, detector_pixel_m=pixel)
        return geometry.is_near_field(side, step)

    # X-rays in the far field; visible light in the far field; electrons
    assert not is_near(1.2e-10, 2.0, 75e-6, 256, 5e-7)
    assert not is_near(6.3e-7, 0.1, 5e-6, 1024, 1e-4)
    assert not is_near(2e-12, 0.5, 150e-6, 128, 1e-10)
    # magnified and scaled by the Fresnel theorem; a parallel beam
    assert is_near(7.3e-11, 0.03, 5e-8, 2048, 3e-6)
    assert is_near(7.3e-11, 0.05, 6.5e-7, 2048, 2e-5)
