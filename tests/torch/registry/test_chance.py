from __future__ import annotations

import numpy as np
import pytest

from ptycho_torch.config import RegistrySettings
from ptycho_torch.registry.chance import Errors, Outcome, compare_errors

SETTINGS = RegistrySettings()


def make_errors(seed: int, ratio: float, *, spread: float = 0.3, parts: int = 16) -> Errors:
    """Errors that differ from part to part, and between the models as independent networks would."""
    random = np.random.default_rng(seed)
    common = random.gamma(4, 0.01 / 4, parts)
    own = np.exp(spread * random.standard_normal((parts, 2)))
    return Errors(common[:, None] * own * np.array([1.0, ratio]), 0.0)


def judge(*scans: Errors) -> Outcome:
    return compare_errors(scans, SETTINGS)


def test_equal_models_are_rarely_called_different() -> None:
    words = [judge(make_errors(seed, 1.0)).word for seed in range(100)]
    assert 100 - words.count("no different") <= 10


def test_a_clearly_better_model_is_found_either_way_round() -> None:
    for seed in range(20):
        better, worse = judge(make_errors(seed, 0.5)), judge(make_errors(seed, 2.0))
        assert (better.word, worse.word) == ("better", "worse")
        assert better.gain == pytest.approx(1 - 0.5**0.5, abs=0.15)


def test_the_same_errors_do_not_differ() -> None:
    errors = np.repeat(np.arange(1.0, 17)[:, None], 2, axis=1)
    found = judge(Errors(errors, 0.0))
    assert (found.word, found.gain, found.probability, found.reason) == ("no different", 0.0, 1.0, "chance")


def test_a_difference_beyond_chance_that_is_too_small_does_not_matter() -> None:
    errors = np.repeat(np.linspace(1, 2, 16)[:, None], 2, axis=1)
    errors[:, 1] *= 0.99
    found = judge(Errors(errors, 0.0))
    assert (found.word, found.reason) == ("no different", "size")
    assert "as far as it matters" in found.describe("a/1", "a/2")
    assert compare_errors([Errors(errors, 0.0)], RegistrySettings(least_gain=0.004)).word == "better"


def test_too_few_parts_decide_nothing() -> None:
    assert judge(make_errors(0, 0.1, parts=4)).word == "no different"


def test_what_is_only_noise_decides_nothing() -> None:
    errors = make_errors(3, 1.0)
    found = judge(Errors(errors.parts, float(errors.parts.sum())))
    assert found.word == "no different"


def test_noise_that_both_share_does_not_hide_a_better_model() -> None:
    random = np.random.default_rng(5)
    noise = 1 + 0.01 * random.standard_normal(16)
    parts = noise[:, None] + np.array([0.02, 0.005]) * (1 + 0.1 * random.standard_normal((16, 2)))
    found = judge(Errors(parts, 16.0))
    assert found.word == "better"
    assert found.gain > 0.3


def test_two_scans_that_contradict_each_other_decide_nothing() -> None:
    found = judge(make_errors(1, 0.2, spread=0.02), make_errors(2, 1.2, spread=0.02))
    assert (found.word, found.reason) == ("no different", "scans")
    assert "since the scans contradict each other" in found.describe("a/1", "a/2")
    assert judge(make_errors(1, 0.2, spread=0.02), make_errors(2, 0.8, spread=0.02)).word == "better"


def test_many_scans_count_once_each() -> None:
    """Two of eight scans are much better and the others worse: a model that is better on most parts of few scans."""
    scans = [make_errors(seed, 0.3 if seed < 2 else 1.15, spread=0.02) for seed in range(8)]
    found = judge(*scans)
    assert (found.units, found.unit, found.word) == (8, "scans", "no different")
    assert judge(*[make_errors(seed, 0.7, spread=0.02) for seed in range(8)]).word == "better"


def test_the_sentence_names_both_models_and_the_chance() -> None:
    text = judge(make_errors(0, 0.5)).describe("lab/1", "lab/2")
    assert text.startswith("lab/2 is better than lab/1: its error is ")
    assert "% lower; equal models would differ as much with p = 0.00" in text
