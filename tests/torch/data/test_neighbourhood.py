from __future__ import annotations

import numpy as np
import pytest

from ptycho_torch.data.grouping import GroupRule, make_groups

GRID = np.stack(np.meshgrid(np.arange(0.0, 60, 6), np.arange(0.0, 60, 6), indexing="ij"), axis=-1).reshape(-1, 2)
POSITIONS = GRID + np.random.default_rng(8).uniform(-1, 1, GRID.shape)


def distances(groups: np.ndarray) -> np.ndarray:
    """How far each member lies from its group's centre."""
    return np.linalg.norm(POSITIONS[groups] - POSITIONS[groups[:, :1]], axis=-1)[:, 1:]


def test_neighbours_within_a_range_of_distances() -> None:
    groups = make_groups(POSITIONS, GroupRule(4, "within", least_px=7.0, most_px=21.0), seed=1)
    assert groups.shape == (100, 4)
    assert distances(groups).min() >= 7.0
    assert distances(groups).max() <= 21.0
    assert all(len(set(group)) == 4 for group in groups.tolist())


def test_the_nearest_stand_in_where_nobody_is_within_the_range(caplog: pytest.LogCaptureFixture) -> None:
    groups = make_groups(POSITIONS, GroupRule(4, "within", most_px=3.0), seed=1)
    nearest = make_groups(POSITIONS, GroupRule(4), seed=1)
    assert [set(group) for group in groups.tolist()] == [set(group) for group in nearest.tolist()]
    assert "100 of 100 patterns have too few neighbours from 0 to 3 px away" in caplog.text


def test_a_member_from_every_quadrant() -> None:
    groups = make_groups(POSITIONS, GroupRule(5, "quadrants", neighbours=24), seed=1)
    inner = np.all((POSITIONS > 14) & (POSITIONS < 40), axis=1)
    for group in groups[inner]:
        offsets = POSITIONS[group[1:]] - POSITIONS[group[0]]
        assert {(row >= 0, column >= 0) for row, column in offsets.tolist()} == {
            (False, False),
            (False, True),
            (True, False),
            (True, True),
        }


def test_several_different_groups_around_every_pattern() -> None:
    groups = make_groups(POSITIONS, GroupRule(4, neighbours=8, draws=3), seed=1)
    assert groups.shape == (300, 4)
    assert groups[:, 0].tolist() == 3 * list(range(100))
    assert (groups[:100] != groups[100:200]).any()
    np.testing.assert_array_equal(groups, make_groups(POSITIONS, GroupRule(4, neighbours=8, draws=3), seed=1))
    assert (groups != make_groups(POSITIONS, GroupRule(4, neighbours=8, draws=3), seed=2)).any()


def test_steps_of_two_lengths_count_alike_when_measured_by_axis() -> None:
    stretched = GRID * [1.0, 4.0]
    plain = make_groups(stretched, GroupRule(5), seed=0)
    fair = make_groups(stretched, GroupRule(5, by_axis=True), seed=0)
    middle = 45
    assert np.ptp(stretched[plain[middle], 1]) == 0
    assert set(fair[middle].tolist()) == {45, 44, 46, 35, 55}


def test_a_group_never_exceeds_the_scan() -> None:
    assert make_groups(POSITIONS[:3], GroupRule(16, neighbours=30), seed=0).shape == (3, 3)
