from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ptycho_torch.config import DriftSettings
from ptycho_torch.drift.features import FEATURES, ScanFeatures
from ptycho_torch.drift.history import append_check, draw_history, read_history
from ptycho_torch.drift.judgement import Judgement, judge
from ptycho_torch.drift.reference import Reference
from ptycho_torch.errors import DataError

PATTERNS = 200
SCANS = 8
# how the medians of clean scans differ, in standard deviations of their patterns, and the logarithm of their error
SCATTER, ERROR_SCATTER = 0.3, 0.07


def make_scan(seed: int, error: float = 1.0, **shifts: float) -> ScanFeatures:
    """Features of a scan that differs from others as scans of one kind do, and by given shifts of features."""
    draw = np.random.default_rng(seed)
    values = {name: draw.normal(draw.normal(shifts.get(name, 0.0), SCATTER), 1.0, PATTERNS) + 5.0 for name in FEATURES}
    spread, misfit = error * np.exp(draw.normal(0, ERROR_SCATTER, 2) * 2**0.5)
    return ScanFeatures(f"scan {seed}", values, 0.2 * float(spread), 0.1 * float(misfit))


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.of("network", [make_scan(seed) for seed in range(SCANS)])


def check(reference: Reference, scan: ScanFeatures) -> Judgement:
    return judge(reference, scan, DriftSettings())


def count(reference: Reference, scans: list[ScanFeatures]) -> Counter[str]:
    return Counter(check(reference, scan).word for scan in scans)


def test_scans_of_the_same_kind_are_as_before_although_a_test_over_patterns_rejects_them(reference: Reference) -> None:
    found = [check(reference, make_scan(1000 + seed)) for seed in range(150)]
    assert sum(judgement.word != "as before" for judgement in found) <= 3
    assert sum(min(shift.p_patterns for shift in judgement.shifts) < 0.01 for judgement in found) > 75


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("effect", [-3.0, 3.0])
def test_a_shift_that_does_not_change_the_error_is_harmless_and_named(
    reference: Reference, name: str, effect: float
) -> None:
    for seed in range(5):
        found = check(reference, make_scan(2000 + seed, **{name: effect}))
        assert found.word == "harmless shift"
        assert [shift.name for shift in found.shifts if shift.is_shifted] == [name]
        shift = next(shift for shift in found.shifts if shift.name == name)
        assert shift.effect == pytest.approx(effect, abs=1.2)


def test_a_growth_of_the_error_is_a_drift(reference: Reference) -> None:
    scans = [make_scan(3000 + seed, error=1.8, dose=2.0) for seed in range(40)]
    assert count(reference, scans)["drift"] >= 38
    growth = np.mean([check(reference, scan).growth for scan in scans])
    assert growth == pytest.approx(0.8, abs=0.2)


def test_an_error_that_has_not_grown_by_as_much_as_matters_is_no_drift(reference: Reference) -> None:
    assert count(reference, [make_scan(4000 + seed, error=1.1) for seed in range(100)])["drift"] <= 2
    strict = DriftSettings(growth=3.0)
    assert judge(reference, make_scan(1, error=1.8), strict).word != "drift"


def test_a_difference_that_is_significant_and_small_is_not_reported() -> None:
    def make(seed: int, shift: float) -> ScanFeatures:
        draw = np.random.default_rng(seed)
        values = {name: draw.normal(shift, 1.0, 512) for name in FEATURES}
        return ScanFeatures("scan", values, 0.2, 0.1)

    reference = Reference.of("network", [make(seed, 0.0) for seed in range(30)])
    scan = make(99, 0.0)
    scan.values["dose"][:] = np.random.default_rng(7).normal(0.35, 1.0, 512)
    shift = check(reference, scan).shifts[0]
    assert shift.p_patterns < 1e-4
    assert not judge(reference, scan, DriftSettings(least_effect=0.6)).shifts[0].is_shifted


def test_one_reference_scan_is_enough_for_a_large_growth() -> None:
    reference = Reference.of("network", [make_scan(0)])
    assert check(reference, make_scan(5, error=3.0)).word == "drift"
    assert check(reference, make_scan(6)).word != "drift"


def test_a_reference_that_is_read_again_gives_the_same_judgement(reference: Reference, tmp_path: Path) -> None:
    path = tmp_path / "drift.json"
    reference.write(path)
    again, scan = Reference.read(path), make_scan(7, dose=1.0)
    assert again.network == "network"
    assert check(again, scan).growth == pytest.approx(check(reference, scan).growth, rel=1e-4)
    assert check(again, scan).word == check(reference, scan).word


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"kind": "ptycho_torch drift reference"', '"kind": "something"'),
        ('"version": 1', '"version": 2'),
        ('"spread": 0', '"spread": -0'),
        ('"dose": [', '"dose": ["x", '),
        ('"dose": [', '"dose": [NaN, '),
        ('"dose": [', '"dose": [1e999, '),
        ('"dose": [', '"dosage": ['),
        ('"scans": [', '"scans": [7, '),
        ("{", "[" * 100_000 + "{"),
    ],
)
def test_a_reference_that_this_package_does_not_write_is_refused(
    reference: Reference, tmp_path: Path, old: str, new: str
) -> None:
    path = tmp_path / "drift.json"
    reference.write(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError):
        Reference.read(path)


def test_the_history_contains_every_check_and_is_drawn(reference: Reference, tmp_path: Path) -> None:
    path = tmp_path / "drift.history.jsonl"
    for seed, error in enumerate((1.0, 1.0, 2.0)):
        append_check(path, check(reference, make_scan(seed, error=error)), 1.8e9 + 86_400 * seed)
    checks = read_history(path)
    assert [one.word for one in checks][-1] == "drift"
    assert [one.time for one in checks] == [1.8e9, 1.8e9 + 86_400, 1.8e9 + 172_800]
    figure = draw_history(checks, 0.2)
    assert [axis.get_ylabel() for axis in figure.axes] == ["growth of the error [%]", "shift [standard deviations]"]
    assert {line.get_label() for line in figure.axes[1].get_lines()} >= set(FEATURES)
    path.write_text(json.dumps({"result": "drift"}) + "\n")
    with pytest.raises(DataError, match="is not a readable history"):
        read_history(path)
