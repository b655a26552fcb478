from __future__ import annotations

import numpy as np
import pytest

from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.errors import DataError

PIXELS = (np.arange(30).reshape(5, 6) + 1j).astype(np.complex64)


def test_a_window_is_cut_at_positions_of_the_scan() -> None:
    canvas = Canvas(PIXELS, origin_px=(10.0, -3.0))
    np.testing.assert_array_equal(canvas.cut_window((11.0, -1.0), (2, 3)), PIXELS[1:3, 2:5])
    np.testing.assert_array_equal(canvas.cut_window((11.2, -1.3), (2, 3)), PIXELS[1:3, 2:5])


@pytest.mark.parametrize("origin", [(8.0, -5.0), (13.0, 1.0), (8.0, 1.0), (100.0, 0.0), (-50.0, -50.0)])
def test_a_window_beyond_the_canvas_is_empty_space(origin: tuple[float, float]) -> None:
    found = Canvas(PIXELS, origin_px=(10.0, -3.0)).cut_window(origin, (4, 5))
    for row in range(4):
        for column in range(5):
            place = (int(origin[0]) + row - 10, int(origin[1]) + column + 3)
            inside = 0 <= place[0] < 5 and 0 <= place[1] < 6
            assert found[row, column] == (PIXELS[place] if inside else 1)


@pytest.mark.parametrize("pixels", [np.ones(5), np.ones((0, 3)), np.array([[1, np.nan]]), np.ones((2, 2, 2))])
def test_only_finite_images_are_objects(pixels: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    with pytest.raises(DataError, match="finite and two-dimensional"):
        Canvas(pixels.astype(np.complex64))


def test_a_frame_splits_positions_into_whole_pixels_and_the_rest() -> None:
    rng = np.random.default_rng(1)
    positions = rng.uniform(-40, 70, (200, 2))
    frame = Frame(positions, 16)
    np.testing.assert_allclose(frame.centres_px + frame.shifts_px, positions, atol=1e-5)
    assert np.abs(frame.shifts_px).max() <= 0.5
    # canvas pixel under patch pixel [0, 0], back in the scan's coordinates
    np.testing.assert_array_equal(frame.corners_px + np.array(frame.origin_px), frame.centres_px - 8)


def test_the_canvas_is_the_smallest_that_holds_every_patch() -> None:
    positions = np.array([[30.2, 12.0], [25.6, 40.4], [28.0, 20.0]])
    frame = Frame(positions, 16)
    assert frame.corners_px.min(axis=0).tolist() == [0, 0]
    assert (frame.corners_px.max(axis=0) + 16).tolist() == list(frame.shape_px)
    assert frame.origin_px == (26.0 - 8, 12.0 - 8)
    assert frame.shape_px == (30 - 26 + 16, 40 - 12 + 16)


def test_whole_offsets_move_only_the_origin() -> None:
    positions = np.random.default_rng(1).uniform(10, 40, (20, 2)).round(2) + 0.003
    first, moved = Frame(positions, 16), Frame(positions + np.array([100, -200]), 16)
    np.testing.assert_array_equal(first.corners_px, moved.corners_px)
    np.testing.assert_allclose(first.shifts_px, moved.shifts_px, atol=1e-5)
    assert moved.origin_px == (first.origin_px[0] + 100, first.origin_px[1] - 200)


def test_positions_in_another_unit_are_refused() -> None:
    with pytest.raises(DataError, match="check their unit"):
        Frame(np.array([[0.0, 0.0], [1e7, 1e7]]), 16)
