from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle
from numpy_samples import LOPSIDED

from ptycho_torch.evaluate.figures import Panel, draw_comparison, draw_grey, save_comparison, save_object
from ptycho_torch.evaluate.objects import find_phase_plane

IMAGE = LOPSIDED.pixels(40, 48)
MASK = np.zeros((40, 48), bool)
MASK[5:35, 8:44] = True
PART = np.s_[5:35, 8:44]
PIXEL_M = 2e-8


def read_grey(path: Path) -> np.ndarray:
    grey: np.ndarray = imread(path)[..., 0]
    return grey


def shown(figure: Figure, panel: int = 0) -> np.ndarray:
    return np.asarray(figure.axes[panel].images[0].get_array())


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_amplitude_and_phase_are_written(tmp_path: Path) -> None:
    paths = save_object(IMAGE, tmp_path, MASK, find_phase_plane(IMAGE, MASK), PIXEL_M)
    assert [path.name for path in paths] == ["recon_amp.png", "recon_phase.png"]
    drawn = [read_grey(path) for path in paths]
    assert all(picture.std() > 0.05 and min(picture.shape) > 300 for picture in drawn)
    assert not np.array_equal(drawn[0], drawn[1])


def test_an_image_is_drawn_the_right_way_round_with_colour_bar_and_scale_bar() -> None:
    figure = draw_grey(np.abs(IMAGE), MASK, "amplitude", PIXEL_M)
    np.testing.assert_array_equal(shown(figure), np.abs(IMAGE)[PART])
    assert figure.axes[0].yaxis_inverted()
    assert figure.axes[1].get_ylabel() == "amplitude"
    [bar] = figure.axes[0].patches
    assert isinstance(bar, Rectangle)
    # 36 px of 20 nm: 200 nm are 10 px, 500 nm would be more than 30 % of the width
    assert bar.get_width() == pytest.approx(10)
    assert texts(figure) == ["200 nm"]


@pytest.mark.parametrize(
    ("pixel_m", "label"), [(None, "10 px"), (4e-8, "200 nm"), (1e-11, "0.1 nm"), (2e-6, "20 µm"), (2e-7, "2000 nm")]
)
def test_a_scale_bar_has_a_round_length(pixel_m: float | None, label: str) -> None:
    assert texts(draw_grey(np.abs(IMAGE), MASK, "amplitude", pixel_m)) == [label]


def test_one_wild_pixel_does_not_spoil_the_range() -> None:
    wild = np.abs(IMAGE)
    wild[10, 10] = 1e6
    assert draw_grey(wild, MASK, "amplitude", None).axes[0].images[0].get_clim()[1] < 10


def test_a_flat_picture_can_be_drawn() -> None:
    low, high = draw_grey(np.ones((40, 48)), MASK, "amplitude", None).axes[0].images[0].get_clim()
    assert low < high


def test_pictures_lack_the_phase_that_object_files_state() -> None:
    rows, columns = np.indices(IMAGE.shape)
    ramped = IMAGE * np.exp(1j * (0.4 + 0.3 * rows - 0.2 * columns))
    plane, own = find_phase_plane(ramped, MASK), find_phase_plane(IMAGE, MASK)
    offset, row, column = plane.to_array()
    assert (row - own.row_rad, column - own.column_rad) == (pytest.approx(0.3, abs=1e-3), pytest.approx(-0.2, abs=1e-3))
    by_hand = np.angle(ramped * np.exp(-1j * (offset + row * rows + column * columns)))
    figure = draw_comparison([Panel("found", ramped)], np.abs(IMAGE).astype(np.float32), MASK, "a title", PIXEL_M)
    # panels by column: amplitudes of the object and the coverage, then phases
    drawn = shown(figure, 2)
    np.testing.assert_allclose(drawn, by_hand[PART], atol=1e-6)
    assert abs(np.angle(np.exp(1j * drawn).mean())) < 0.05


def test_a_comparison_is_a_picture(tmp_path: Path) -> None:
    panels = [Panel("truth", IMAGE), Panel("found", IMAGE * 1j, "error 0.01")]
    path = tmp_path / "new" / "comparison.png"
    save_comparison(panels, np.abs(IMAGE).astype(np.float32), MASK, "a title", path, PIXEL_M)
    drawn = read_grey(path)
    assert drawn.shape[1] > drawn.shape[0] > 300
    assert drawn.std() > 0.05
