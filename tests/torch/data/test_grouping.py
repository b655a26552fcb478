from __future__ import annotations

import numpy as np
import pytest
from numpy_refine import neighbours

from ptycho_torch.data.grouping import GroupRule, group_nearest
from ptycho_torch.errors import GroupingError
from ptycho_torch.training.datamodule import split_groups

POSITIONS = np.random.default_rng(3).uniform(0, 60, (40, 2))


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_a_group_is_a_pattern_and_its_nearest(size: int) -> None:
    groups = group_nearest(POSITIONS, size)
    assert groups.shape == (40, size)
    assert groups[:, 0].tolist() == list(range(40))
    assert [set(group) for group in groups.tolist()] == neighbours(POSITIONS, size)


def test_groups_may_be_drawn_from_more_neighbours() -> None:
    groups = group_nearest(POSITIONS, 4, neighbours=7, seed=1)
    for number, (group, near) in enumerate(zip(groups.tolist(), neighbours(POSITIONS, 8), strict=True)):
        assert group[0] == number
        assert len(set(group)) == 4
        assert set(group) <= near
    np.testing.assert_array_equal(groups, group_nearest(POSITIONS, 4, neighbours=7, seed=1))
    assert (groups != group_nearest(POSITIONS, 4, neighbours=7, seed=2)).any()
    assert (groups != group_nearest(POSITIONS, 4)).any()


def test_patterns_at_one_place_still_lead_their_own_groups() -> None:
    groups = group_nearest(np.zeros((9, 2)), 4)
    assert groups[:, 0].tolist() == list(range(9))
    assert all(len(set(group)) == 4 for group in groups.tolist())


@pytest.mark.parametrize(
    ("size", "near", "complaint"),
    [(41, None, "group is 41; the scan has 40"), (6, 3, "a group of 6 needs at least 5")],
)
def test_groups_that_cannot_be_made_are_refused(size: int, near: int | None, complaint: str) -> None:
    with pytest.raises(GroupingError, match=complaint):
        group_nearest(POSITIONS, size, neighbours=near)


def test_validation_patterns_are_in_no_training_group() -> None:
    split = split_groups(POSITIONS, GroupRule(4), 0.2, seed=1)
    assert not split.shared
    assert len(split.validation) == 2
    assert not set(split.training.ravel().tolist()) & set(split.validation.ravel().tolist())
    rest = sorted(set(range(40)) - set(split.validation.ravel().tolist()))
    assert sorted(split.training[:, 0].tolist()) == rest
    kept = neighbours(POSITIONS[rest], 4)
    assert [set(group) for group in split.training.tolist()] == [{rest[place] for place in group} for group in kept]


@pytest.mark.parametrize(("patterns", "share"), [(40, 0.0), (6, 0.2), (3, 0.2)])
def test_a_scan_too_small_to_spare_any_is_shared(patterns: int, share: float) -> None:
    split = split_groups(POSITIONS[:patterns], GroupRule(4), share, seed=1)
    assert split.shared
    assert len(split.training) == patterns
    assert len(split.validation) >= 1
    assert split.training.shape[1] == min(4, patterns)


def test_the_choice_follows_the_given_number() -> None:
    first, again, other = (split_groups(POSITIONS, GroupRule(4), 0.2, seed).validation.tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other
