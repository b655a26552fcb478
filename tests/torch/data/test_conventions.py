from __future__ import annotations

import logging
from typing import Any, Literal

import numpy as np
import pytest

from ptycho_torch.config import DataSettings
from ptycho_torch.data.conventions import is_beam_centred, orient, to_counts
from ptycho_torch.errors import ScanFileError

AUTO = DataSettings()
PHOTONS = np.random.default_rng(0).poisson(40, (3, 16, 16))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.int64, np.float32, np.float64])
def test_whole_numbers_above_fifty_are_counts(kind: Any) -> None:
    np.testing.assert_array_equal(to_counts(PHOTONS.astype(kind), AUTO, "mine"), PHOTONS)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_amplitudes_are_squared_back_to_whole_counts(kind: Any) -> None:
    photons = np.random.default_rng(0).poisson(1e4, (3, 16, 16))
    found = to_counts(np.sqrt(photons.astype(kind)), AUTO, "mine")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, photons)


def test_faint_whole_floats_are_amplitudes_unless_said_otherwise() -> None:
    stored = np.full((1, 16, 16), 3.0)
    np.testing.assert_array_equal(to_counts(stored, AUTO, "mine"), 9)
    np.testing.assert_array_equal(to_counts(stored, DataSettings(units="counts"), "mine"), 3)


def test_small_integers_do_not_overflow_when_they_are_squared() -> None:
    stored = np.full((1, 16, 16), 60000, np.uint16)
    np.testing.assert_array_equal(to_counts(stored, DataSettings(units="amplitude"), "mine"), 60000.0**2)
    signed = np.full((1, 16, 16), 200, np.uint8)
    np.testing.assert_array_equal(to_counts(signed, DataSettings(units="amplitude"), "mine"), 40000)


@pytest.mark.parametrize("units", ["auto", "amplitude"])
def test_negative_amplitudes_are_refused(units: Literal["auto", "amplitude"]) -> None:
    with pytest.raises(ScanFileError, match=r"mine: .*amplitude.* -0\.5"):
        to_counts(np.full((1, 16, 16), -0.5), DataSettings(units=units), "mine")


@pytest.mark.parametrize("stored", [np.ones((1, 16, 16), complex), np.ones((1, 16, 16), bool), np.full((1, 2, 2), "a")])
def test_other_types_than_numbers_are_refused(stored: np.ndarray[Any, Any]) -> None:
    with pytest.raises(ScanFileError, match="patterns are of type"):
        to_counts(stored, AUTO, "mine")


@pytest.mark.parametrize("units", ["counts", "amplitude"])
def test_a_dose_rescales_every_pattern_alike(units: Literal["counts", "amplitude"]) -> None:
    stored = np.random.default_rng(0).uniform(0, 1, (3, 16, 16))
    found = to_counts(stored, DataSettings(units=units, photons=5000.0), "mine")
    assert found.sum(axis=(1, 2)).mean() == pytest.approx(5000, rel=1e-5)
    wanted = stored if units == "counts" else stored**2
    np.testing.assert_allclose(found / found[0, 0, 0], wanted / wanted[0, 0, 0], rtol=1e-4)


def test_normalised_amplitudes_without_a_dose_are_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        to_counts(np.random.default_rng(0).uniform(0, 1, (1, 16, 16)), AUTO, "mine")
    assert "--photons" in caplog.text


def test_decisions_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        is_beam_centred(to_counts(PHOTONS, AUTO, "mine").mean(axis=0), AUTO, "mine")
    assert "mine: patterns are read as counts" in caplog.text
    assert "mine: the zero frequency lies at" in caplog.text


def spot(row: int, column: int, side: int = 16) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Patterns with a bright spot and a fainter one below it and right of it."""
    counts = np.zeros((2, side, side), np.float32)
    counts[:, row, column] = 100
    counts[:, (row + 1) % side, column] = 20
    counts[:, row, (column + 1) % side] = 7
    return counts


@pytest.mark.parametrize(("row", "column", "expected"), [(8, 8, True), (0, 0, False)])
def test_the_direct_beam_is_found_at_the_centre_or_in_the_corner(row: int, column: int, expected: bool) -> None:
    assert is_beam_centred(spot(row, column)[0], AUTO, "mine") is expected


def test_the_place_of_the_direct_beam_can_be_said() -> None:
    assert not is_beam_centred(spot(8, 8)[0], DataSettings(zero_frequency="corner"), "mine")
    assert is_beam_centred(spot(0, 0)[0], DataSettings(zero_frequency="centre"), "mine")


@pytest.mark.parametrize("side", [15, 16])
def test_turning_keeps_the_zero_frequency_in_its_place(side: int) -> None:
    half = side // 2
    stored = spot(half, half, side)
    for settings, below, right in [
        (DataSettings(), (half + 1, half), (half, half + 1)),
        (DataSettings(transpose=True), (half, half + 1), (half + 1, half)),
        (DataSettings(flip_rows=True), (half - 1, half), (half, half + 1)),
        (DataSettings(flip_columns=True), (half + 1, half), (half, half - 1)),
        (DataSettings(transpose=True, flip_rows=True), (half, half + 1), (half - 1, half)),
        (DataSettings(transpose=True, flip_columns=True), (half, half - 1), (half + 1, half)),
    ]:
        found = orient(stored, settings)[0]
        assert found[half, half] == 100
        assert found[below] == 20
        assert found[right] == 7
