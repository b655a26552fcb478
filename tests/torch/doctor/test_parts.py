"""The cheap tests of the doctor: discreteness of values, centres of mass, composition of settings."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from ptycho_torch.config import DataSettings
from ptycho_torch.data.conventions import orient
from ptycho_torch.data.numbers import parse_numbers
from ptycho_torch.data.placement import turn
from ptycho_torch.data.recording import PatternStack
from ptycho_torch.data.scan import Scan
from ptycho_torch.doctor.centre_of_mass import measure_curl
from ptycho_torch.doctor.change import ORIENTATIONS, Change, describe_turn
from ptycho_torch.doctor.stored import Quantum, find_quantum, read_stored
from ptycho_torch.doctor.trial import choose_middle
from ptycho_torch.doctor.value_checks import find_pedestal
from ptycho_torch.errors import ConfigError

WAYS = ((False, False, False), *ORIENTATIONS)


def make_values() -> np.ndarray:
    counts = np.unique(np.random.default_rng(0).geometric(0.01, 4000)).astype(float)
    return counts[:400]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda n: n, Quantum("counts", 1)),
        (lambda n: 3 * n, Quantum("counts", 3)),
        (lambda n: 2.5 * n, Quantum("counts", 2.5)),
        (np.sqrt, Quantum("amplitude", 1)),
        (np.log1p, Quantum("log", 1)),
        (lambda n: np.log10(1 + n), Quantum("log10", 1)),
        (lambda n: n**0.3, None),
    ],
)
def test_discrete_values_show_their_form(function: object, expected: Quantum | None) -> None:
    assert callable(function)
    values = np.asarray(function(make_values()), np.float32).astype(float)
    assert find_quantum(values) == expected


def test_normalised_and_rounded_values_show_the_value_of_a_photon() -> None:
    normalised = find_quantum((make_values() / 731).astype(np.float32).astype(float))
    assert normalised is not None
    assert normalised.step == pytest.approx(1 / 731, rel=1e-4)
    rounded = find_quantum(np.round(3.7 * make_values()))
    assert rounded is not None
    assert rounded.step == pytest.approx(3.7, rel=0.01)


@pytest.mark.parametrize(("first", "second"), list(product(WAYS[1::2], WAYS)))
def test_a_change_after_settings_is_one_set_of_settings(
    first: tuple[bool, bool, bool], second: tuple[bool, bool, bool]
) -> None:
    images = np.random.default_rng(0).random((2, 16, 16))
    points = np.random.default_rng(1).random((5, 2))
    before = DataSettings(position_rotation_deg=20, position_scale=1.5)
    before = Change.of_patterns(first).follow(Change.of_positions(second).follow(before))
    change = Change(Change.of_positions(first).follow(Change.of_patterns(second).follow(DataSettings())))
    both = change.follow(before)
    np.testing.assert_array_equal(orient(images, both), orient(orient(images, before), change.settings))
    np.testing.assert_allclose(turn(points, both), turn(turn(points, before), change.settings))
    assert abs(both.position_rotation_deg) <= 45


def test_a_sheared_map_is_described_by_its_nearest_rotation_and_scale() -> None:
    angle = np.radians(100)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    settings = DataSettings(**describe_turn(2 * rotation @ np.array([[1.01, 0], [0, 1 / 1.01]])))
    np.testing.assert_allclose(turn(np.eye(2), settings).T, 2 * rotation, atol=0.03)


@pytest.mark.parametrize("way", WAYS)
def test_centres_of_mass_have_the_least_curl_in_the_right_orientation(way: tuple[bool, bool, bool]) -> None:
    # a phase without symmetry: its gradient displaces a narrow beam
    rows, columns = np.divmod(np.arange(225), 15)
    gradient = np.stack([np.cos(rows / 3) + columns / 9, rows / 9 - np.sin(columns / 4)], axis=1)
    offset = np.arange(32) - 16
    place = 2 * gradient[:, :, None] - offset
    counts = 1e4 * np.exp(-(place[:, 0, :, None] ** 2 + place[:, 1, None, :] ** 2) / 8)
    positions = np.stack([rows, columns], axis=1).astype(float)
    scan = Change.of_patterns(way).apply(Scan(counts.astype(np.float32), positions))
    found = measure_curl(scan)
    assert found is not None
    assert found.is_clear
    # turned back by what was found, the patterns are right up to half a turn
    restored = Change.of_patterns(found.best).apply(scan).counts
    twin = Change.of_patterns((False, True, True)).apply(Scan(restored, positions)).counts
    assert np.allclose(restored, counts, rtol=1e-4) or np.allclose(twin, counts, rtol=1e-4)


def test_figures_of_stored_values_are_those_of_all_patterns() -> None:
    rng = np.random.default_rng(0)
    # several parts are read
    values = rng.poisson(3, (5000, 32, 32)).astype(np.int16)
    values[4000] = values[7]
    values[20:22] = values[10]
    values[30:50, 3, :4] = 97
    values[3000:3010, 8, 8] = 90
    values[60, 5, 5] = -3
    good = np.ones((32, 32), bool)
    good[9, 9] = False
    values[:, 9, 9] = 5000
    found = read_stored(PatternStack(values), good)
    clean = np.where(good, values, 0)
    assert found.copies == ((7, 4000), (10, 20, 21))
    assert (found.largest, found.at_largest, found.near_largest, found.negative) == (97, 80, 10, 1)
    np.testing.assert_allclose(found.totals, clean.sum(axis=(1, 2)))
    np.testing.assert_allclose(found.mean, clean.mean(axis=0) * good)


@pytest.mark.parametrize(("mean", "added", "expected"), [(0.5, 0, 0), (0.5, 7, 7), (60, 0, 0), (60, 7, 0)])
def test_a_constant_in_all_values_shows_where_there_is_no_light(mean: float, added: int, expected: int) -> None:
    values = np.random.default_rng(0).poisson(mean, (100, 32, 32)) + added
    assert find_pedestal(read_stored(PatternStack(values), np.ones((32, 32), bool))) == expected


def test_the_middle_of_a_dense_scan_sees_more_than_one_patch() -> None:
    places = np.stack(np.divmod(np.arange(900), 30), axis=1) * 4.0
    positions = np.repeat(places, 50, axis=0) + np.random.default_rng(0).uniform(-0.02, 0.02, (45_000, 2))
    scan = Scan(np.ones((45_000, 16, 16), np.float32), positions)
    chosen = choose_middle(scan)
    assert len(chosen) == 121
    # each place once
    assert len(np.unique(np.round(positions[chosen] / 4), axis=0)) == 121
    few = Scan(np.ones((900, 16, 16), np.float32), places)
    assert len(choose_middle(few)) == 121


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"leave_out": "x"}, "must be numbers"), ({"leave_out": "4-2"}, "names pattern"), ({"leave_out": "99"}, "names")],
)
def test_numbers_of_patterns_are_checked(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_numbers(settings["leave_out"], 10)
