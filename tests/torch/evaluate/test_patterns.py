"""The measured pattern that is shown beside its prediction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.fit_figure import draw_fit
from ptycho_torch.evaluate.patterns import ComparedPattern, compare_typical_pattern


def compare_spoilt(scan: Scan, spoilt: np.ndarray) -> ComparedPattern:
    """The shown pattern of the true object if some patterns are turned upside down, which keeps their photons."""
    counts = scan.counts.copy()
    counts[spoilt] = counts[spoilt, ::-1, ::-1].transpose(0, 2, 1)
    return compare_typical_pattern(replace(scan, counts=counts), scan.require_object(), scan.require_probe())


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_the_misfit_of_the_shown_pattern_is_the_median(share: float, small_scan: Scan) -> None:
    spoilt = np.random.default_rng(1).permutation(len(small_scan))[: round(share * len(small_scan))]
    found = compare_spoilt(small_scan, spoilt)
    assert (found.number in spoilt) == (share > 0.5)


def test_a_true_object_predicts_the_measured_pattern_up_to_photon_noise(small_scan: Scan) -> None:
    found = compare_spoilt(small_scan, np.array([], np.int64))
    np.testing.assert_allclose(found.measured, small_scan.counts[found.number], rtol=1e-5)
    squared = (np.sqrt(found.expected) - np.sqrt(found.measured)) ** 2
    assert found.error == pytest.approx((squared.sum() / found.measured.sum()) ** 0.5, rel=1e-4)
    assert 0.7 < found.deviations[found.expected > 10].std() < 1.4


def test_the_panels_of_a_fit_show_what_their_titles_say() -> None:
    measured = np.full((8, 8), 20, np.float32)
    measured[2, 5] = 400
    expected = np.full((8, 8), 100, np.float32)
    expected[0, 0] = np.nan
    probe = np.ones((2, 8, 8), np.complex64)
    figure = draw_fit(probe, ComparedPattern(7, measured, expected, 0.25), (0.5, 0.4), (0.6, 0.55), floor=0.3)
    panels = {axis.get_title(): axis for axis in figure.axes}
    shown = {name: np.asarray(axis.images[0].get_array()) for name, axis in panels.items() if axis.images}
    np.testing.assert_array_equal(shown["measured, pattern 7"], measured)
    np.testing.assert_array_equal(np.ma.filled(shown["modelled, R 0.2500 (the median)"], np.nan), expected)
    assert shown["difference / noise"][2, 5] == pytest.approx(2 * (10 - 20))
    assert "probe, mode 1 of 2 (50%, 50%)" in shown
    fitted, held_out, floor = panels["R by epoch"].lines
    np.testing.assert_array_equal(fitted.get_ydata(), (0.5, 0.4))
    np.testing.assert_array_equal(held_out.get_ydata(), (0.6, 0.55))
    np.testing.assert_array_equal(floor.get_ydata(), 0.3)
