"""A picture of a reconstruction while it is under way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.fit_figure import draw_course, draw_probe
from ptycho_torch.evaluate.objects import remove_ramp
from ptycho_torch.pictures.figure import make_figure, save_figure
from ptycho_torch.pictures.image import draw_image, draw_scale_bar
from ptycho_torch.runtime.ranks import Ranks
from ptycho_torch.runtime.saved_state import Saving
from ptycho_torch.solve.scan_model import Solution

LIVE_NAME = "live.png"
# of what is shown of an object whose positions lie in a line
_LEAST_SIDE_PX = 16


class Live:
    """Draws object, probe, R and R free every so many epochs, each time into the same file.

    Args:
        scan: the scan.
        path: the file.
        every_epochs: epochs between two pictures.
    """

    def __init__(self, scan: Scan, path: Path, every_epochs: int) -> None:
        self._scan, self._path, self._every_epochs = scan, path, every_epochs

    def __call__(self, name: str, number: int, take: Callable[[], Solution]) -> None:
        """Draw a reconstruction if it is time to.

        Args:
            name: what is reconstructed.
            number: of the epoch, from 1.
            take: returns the reconstruction.
        """
        if number % self._every_epochs == 0:
            self._draw(f"{self._scan.name}: {name}, epoch {number}", take())

    def _draw(self, title: str, solution: Solution) -> None:
        image, pixel_m = self._cut(solution.canvas), self._scan.pixel_m
        flat = remove_ramp(image, np.ones_like(image), np.ones(image.shape, bool))
        figure = make_figure(3, 2)
        figure.suptitle(f"{title} by {solution.method.replace('_', ' ')}: R {solution.errors[-1]:.4f}", fontsize=11)
        axes = figure.subplots(2, 3)
        draw_image(axes[0, 0], np.abs(image), "amplitude", title="object", colours="gray")
        draw_image(axes[1, 0], np.angle(flat * np.conj(flat.mean())), "phase / rad", title="its phase", colours="gray")
        for axis in axes[:, 0]:
            draw_scale_bar(axis, image.shape, pixel_m)
        draw_probe(axes[0, 1], axes[1, 1], solution.probe, pixel_m)
        draw_course(axes[0, 2], solution.errors, solution.free_errors, None)
        axes[1, 2].axis("off")
        save_figure(figure, self._path)

    def _cut(self, canvas: Canvas) -> NDArray[np.complex64]:
        """Cut out what lies between the outermost positions, which is illuminated."""
        positions_px = self._scan.positions_px
        frame = Frame(np.stack([positions_px.min(0), positions_px.max(0)]), _LEAST_SIDE_PX)
        return canvas.cut_window(frame.origin_px, frame.shape_px)


def choose_live(scan: Scan, saving: Saving | None, ranks: Ranks) -> Live | None:
    """The pictures that are asked for of a run, which the first process draws."""
    if saving is None or saving.live_epochs is None or not ranks.is_first:
        return None
    return Live(scan, saving.folder / LIVE_NAME, saving.live_epochs)
