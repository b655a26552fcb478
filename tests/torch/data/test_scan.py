from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError


def arrays(**changes: Any) -> dict[str, Any]:
    """Arrays of a scan of five patterns that works, with changes."""
    rng = np.random.default_rng(0)
    usable = {
        "counts": rng.poisson(5, (5, 16, 16)).astype(np.float32),
        "positions_px": rng.uniform(10, 20, (5, 2)),
        "probe": np.ones((2, 16, 16), np.complex64),
        "name": "mine",
    }
    return usable | changes


def broken(value: float) -> np.ndarray[Any, Any]:
    counts: np.ndarray[Any, Any] = arrays()["counts"].copy()
    counts[3, 2, 2] = value
    return counts


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"counts": np.ones((16, 16))}, r"patterns have shape \(16, 16\); .* \(pattern, N, N\)"),
        ({"counts": np.ones((5, 16, 18))}, r"patterns have shape \(5, 16, 18\)"),
        ({"counts": np.ones((0, 16, 16)), "positions_px": np.ones((0, 2))}, "the scan is empty"),
        ({"counts": np.ones((5, 8, 8)), "probe": None}, "8 px wide; .* even .* 16 px"),
        ({"counts": np.ones((5, 17, 17)), "probe": None}, "17 px wide; .* even"),
        ({"counts": broken(np.nan)}, "1 patterns contain NaN or infinite values"),
        ({"counts": broken(np.inf)}, "1 patterns contain NaN or infinite values"),
        ({"counts": broken(-2)}, "count is -2; .* negative"),
        ({"counts": broken(1e20)}, r"count is 1e\+20"),
        ({"counts": np.zeros((5, 16, 16))}, "no photons"),
        ({"positions_px": np.ones((4, 2))}, r"positions have shape \(4, 2\); .* \(5, 2\)"),
        ({"positions_px": np.ones(5)}, r"positions have shape \(5,\)"),
        ({"positions_px": np.full((5, 2), np.nan)}, "positions contain NaN"),
        ({"probe": np.ones((16, 16), complex)}, r"the probe has shape \(16, 16\); .* \(mode, 16, 16\)"),
        ({"probe": np.ones((1, 32, 32), complex)}, r"the probe has shape \(1, 32, 32\)"),
        ({"probe": np.zeros((1, 16, 16), complex)}, "the probe is zero"),
        ({"probe": np.full((1, 16, 16), np.nan + 0j)}, "the probe is zero or contains NaN"),
        ({"good_pixels": np.ones((16, 12), bool)}, "the mask has shape"),
        ({"truth": Canvas(np.ones((24, 24), np.complex64))}, "positions lie outside the object"),
    ],
)
def test_arrays_that_make_no_scan_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint) as raised:
        Scan(**arrays(**changes))
    assert str(raised.value).startswith("mine: ")


@pytest.mark.parametrize("probe", [None, np.ones((1, 16, 16), complex)])
def test_usable_arrays_are_kept_and_cannot_be_changed(probe: np.ndarray[Any, Any] | None) -> None:
    scan = Scan(**arrays(probe=probe))
    assert len(scan) == 5
    assert scan.patch_px == 16
    assert scan.counts.dtype == np.float32
    assert scan.positions_px.dtype == np.float64
    assert scan.good_pixels.all()
    with pytest.raises(ValueError, match="read-only"):
        scan.counts[0, 0, 0] = 3


def test_making_a_scan_leaves_the_callers_arrays_writable() -> None:
    given = arrays()
    Scan(**given)
    given["counts"][0, 0, 0] = 3
    given["positions_px"][0, 0] = 3


def test_only_good_pixels_count_as_photons() -> None:
    good = np.ones((16, 16), bool)
    good[4, 5] = False
    counts = np.ones((5, 16, 16), np.float32)
    counts[:, 4, 5] = 1e6
    scan = Scan(**arrays(counts=counts, good_pixels=good))
    assert scan.photons_per_pattern == 255


def test_a_scan_without_a_photon_on_good_pixels_is_refused() -> None:
    with pytest.raises(DataError, match="no photons on good pixels"):
        Scan(**arrays(good_pixels=np.zeros((16, 16), bool)))


@pytest.mark.parametrize("chosen", [slice(1, 4, 2), np.array([3, 1])])
def test_taking_patterns_keeps_counts_and_positions_together(chosen: Any) -> None:
    scan = Scan(**arrays())
    part = scan.take(chosen)
    np.testing.assert_array_equal(part.counts, scan.counts[chosen])
    np.testing.assert_array_equal(part.positions_px, scan.positions_px[chosen])
    assert part.name == scan.name
    assert part.probe is not None


def test_positions_may_touch_the_edge_of_the_object() -> None:
    truth = Canvas(np.ones((20, 20), np.complex64), origin_px=(100.0, 50.0))
    edge = np.array([[108.0, 58.0], [112.0, 62.0], [112.4, 57.6]])
    Scan(counts=np.ones((3, 16, 16), np.float32), positions_px=edge, truth=truth)
    with pytest.raises(DataError, match=r"1 positions lie outside .* the first is pattern 2 at \[113\.0, 58\.0\]"):
        Scan(
            counts=np.ones((3, 16, 16), np.float32),
            positions_px=np.array([[108, 58], [112, 62], [113, 58.0]]),
            truth=truth,
        )
