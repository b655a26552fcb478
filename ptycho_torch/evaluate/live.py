"""A picture of a reconstruction while it is under way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.objects import remove_ramp
from ptycho_torch.runtime.ranks import Ranks
from ptycho_torch.runtime.saved_state import Saving
from ptycho_torch.solve.scan_model import Solution
from ptycho_torch.storage.writing import write_atomically

LIVE_NAME = "live.png"
_PANEL_INCH = 3.4
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
        image = self._cut(solution.canvas)
        everywhere = np.ones(image.shape, bool)
        flat = remove_ramp(image, np.ones_like(image), everywhere)
        figure = Figure(figsize=(2 * _PANEL_INCH + 1, 2 * _PANEL_INCH), layout="constrained")
        FigureCanvasAgg(figure)
        amplitude, phase, probe, residual = figure.subplots(2, 2).flat
        panels = (
            (amplitude, np.abs(image), "amplitude"),
            (phase, np.angle(flat * np.conj(flat.mean())), "phase / rad"),
            (probe, np.sqrt((np.abs(solution.probe) ** 2).sum(0)), "probe / √photons"),
        )
        for axis, values, label in panels:
            drawn = axis.imshow(values, cmap="gray", vmin=np.percentile(values, 1), vmax=np.percentile(values, 99))
            figure.colorbar(drawn, ax=axis, shrink=0.8, label=label)
            axis.set(xticks=[], yticks=[])
        epochs = range(1, len(solution.errors) + 1)
        residual.semilogy(epochs, solution.errors, label="R")
        if solution.free_errors:
            residual.semilogy(epochs, solution.free_errors, label="R free")
        residual.set(xlabel="epoch")
        residual.legend()
        figure.suptitle(f"{title}, {solution.method.replace('_', ' ')}: R {solution.errors[-1]:.4f}", fontsize=11)
        with write_atomically(self._path) as file:
            figure.savefig(file, format="png", dpi=100)

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
