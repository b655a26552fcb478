from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.image import imread
from numpy_samples import LOPSIDED

from ptycho_torch.evaluate.figures import Panel, save_comparison, save_object, save_picture

IMAGE = LOPSIDED.pixels(40, 48)
MASK = np.zeros((40, 48), bool)
MASK[5:35, 8:44] = True
PART = np.s_[5:35, 8:44]


def read_grey(path: Path) -> np.ndarray:
    grey: np.ndarray = imread(path)[..., 0]
    return grey


def test_amplitude_and_phase_are_drawn_the_right_way_round(tmp_path: Path) -> None:
    amplitude, phase = save_object(IMAGE, tmp_path, MASK)
    assert (amplitude.name, phase.name) == ("recon_amp.png", "recon_phase.png")
    for path, values in ((amplitude, np.abs(IMAGE)), (phase, np.angle(IMAGE))):
        drawn = read_grey(path)
        assert drawn.shape == (30, 36)
        assert np.corrcoef(drawn.ravel(), values[PART].ravel())[0, 1] > 0.98


def test_one_wild_pixel_does_not_spoil_the_range(tmp_path: Path) -> None:
    wild = np.abs(IMAGE)
    wild[10, 10] = 1e6
    save_picture(wild, tmp_path / "picture.png", MASK)
    assert read_grey(tmp_path / "picture.png").std() > 0.1


def test_a_flat_picture_can_be_drawn(tmp_path: Path) -> None:
    save_picture(np.ones((40, 48)), tmp_path / "picture.png", MASK)
    assert read_grey(tmp_path / "picture.png").shape == (30, 36)


def test_a_comparison_is_a_picture(tmp_path: Path) -> None:
    panels = [Panel("truth", IMAGE), Panel("found", IMAGE * 1j, "error 0.01")]
    path = tmp_path / "new" / "comparison.png"
    save_comparison(panels, np.abs(IMAGE).astype(np.float32), MASK, "a title", path)
    drawn = read_grey(path)
    assert drawn.shape[1] > drawn.shape[0] > 300
    assert drawn.std() > 0.05
