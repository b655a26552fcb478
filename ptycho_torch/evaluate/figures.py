"""Pictures of reconstructions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import image as matplotlib_image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ptycho_torch.evaluate.objects import match_factor, remove_ramp
from ptycho_torch.storage.writing import write_atomically

_PANEL_INCH = 2.9


@dataclass(frozen=True, eq=False)
class Panel:
    """An object to show.

    Attributes:
        title: printed above.
        image: (height, width) complex.
        note: figures of merit to print below.
    """

    title: str
    image: NDArray[np.complexfloating]
    note: str = ""


def save_picture(values: NDArray[Any], path: Path, mask: NDArray[np.bool_]) -> None:
    """Write an image in grey, cropped to the extent of the mask, over the range of the central 98 % inside it."""
    low, high = _find_range(values, mask)
    buffer = io.BytesIO()
    matplotlib_image.imsave(buffer, values[_find_extent(mask)], cmap="gray", vmin=low, vmax=high, format="png")
    with write_atomically(path) as file:
        file.write(buffer.getvalue())


def save_object(image: NDArray[np.complexfloating], folder: Path, mask: NDArray[np.bool_]) -> tuple[Path, Path]:
    """Write `recon_amp.png` and `recon_phase.png`, the phase without its mean and its ramp."""
    amplitude, phase = folder / "recon_amp.png", folder / "recon_phase.png"
    save_picture(np.abs(image), amplitude, mask)
    save_picture(_measure_phase(_remove_own_ramp(image, mask), mask), phase, mask)
    return amplitude, phase


def draw_object(image: NDArray[np.complexfloating], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Draw amplitude and, to its right, phase in grey, (height, width, 3), scaled and cropped as by `save_object`."""
    part, drawn = _find_extent(mask), []
    for values in (np.abs(image), _measure_phase(_remove_own_ramp(image, mask), mask)):
        low, high = _find_range(values, mask)
        drawn.append(np.uint8(np.clip((values[part] - low) / (high - low), 0, 1) * 255))
    return np.repeat(np.hstack(drawn)[..., None], 3, axis=2)


def save_drawing(pixels: NDArray[np.uint8], path: Path) -> None:
    """Write what `draw_object` has drawn as a PNG file."""
    buffer = io.BytesIO()
    matplotlib_image.imsave(buffer, pixels, format="png")
    with write_atomically(path) as file:
        file.write(buffer.getvalue())


def save_comparison(
    panels: Sequence[Panel], coverage: NDArray[np.float32], mask: NDArray[np.bool_], title: str, path: Path
) -> None:
    """Write objects side by side, amplitude above phase, with the coverage last.

    All panels are scaled to the first one by a complex factor and share its grey scale. Phases are shown without the
    ramp of the first panel, which would only wrap them.
    """
    reference = _remove_own_ramp(panels[0].image, mask)
    figure = Figure(figsize=((len(panels) + 1) * _PANEL_INCH + 1.8, 2 * _PANEL_INCH + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(panels) + 1, squeeze=False)
    part = _find_extent(mask)
    ranges = [_find_range(np.abs(reference), mask), _find_range(_measure_phase(reference, mask), mask)]
    for column, panel in enumerate(panels):
        image = match_factor(remove_ramp(panel.image, reference, mask), reference, mask)
        for row, values in enumerate((np.abs(image), _measure_phase(image, mask, reference))):
            shown = np.where(mask, values, np.nan)[part]
            drawn = axes[row, column].imshow(shown, cmap="gray", vmin=ranges[row][0], vmax=ranges[row][1])
            if column == len(panels) - 1:
                figure.colorbar(drawn, ax=axes[row, column], shrink=0.8, label=("amplitude", "phase / rad")[row])
        axes[0, column].set_title(panel.title, fontsize=10)
        axes[1, column].set_xlabel(panel.note, fontsize=8)
    drawn = axes[0, -1].imshow(coverage[part], cmap="viridis")
    axes[0, -1].set_title("coverage", fontsize=10)
    figure.colorbar(drawn, ax=axes[0, -1], shrink=0.8, label="photons / px")
    axes[1, -1].axis("off")
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle(title, fontsize=11)
    with write_atomically(path) as file:
        figure.savefig(file, format="png", dpi=110)


def save_displacements(given_px: NDArray[np.float64], found_px: NDArray[np.float64], path: Path) -> None:
    """Draw an arrow from each given position (row, column) in the direction of the refined one, coloured by length."""
    moved = found_px - given_px
    length = np.linalg.norm(moved, axis=1)
    figure = Figure(figsize=(2.2 * _PANEL_INCH, 2 * _PANEL_INCH), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    rows, columns = given_px.T
    arrows = axis.quiver(columns, rows, moved[:, 1], moved[:, 0], length, angles="xy", cmap="viridis")
    axis.scatter(columns, rows, s=2, color="grey")
    figure.colorbar(arrows, ax=axis, shrink=0.8, label="displacement / px")
    axis.set(aspect="equal", xlabel="column / px", ylabel="row / px")
    axis.invert_yaxis()
    root_mean_square = float((length**2).mean() ** 0.5)
    axis.set_title(f"refined positions: {root_mean_square:.3g} px rms; arrows are scaled", fontsize=11)
    with write_atomically(path) as file:
        figure.savefig(file, format="png", dpi=110)


def _remove_own_ramp(image: NDArray[np.complexfloating], mask: NDArray[np.bool_]) -> NDArray[np.complexfloating]:
    return remove_ramp(image, np.ones_like(image), mask)


def _measure_phase(
    image: NDArray[np.complexfloating],
    mask: NDArray[np.bool_],
    reference: NDArray[np.complexfloating] | None = None,
) -> NDArray[np.floating]:
    mean = (image if reference is None else reference)[mask].mean()
    return np.angle(image * np.conj(mean))


def _find_range(values: NDArray[Any], mask: NDArray[np.bool_]) -> tuple[float, float]:
    low, high = np.percentile(values[mask], [1, 99])
    return float(low), float(high) if high > low else float(low) + 1e-6


def _find_extent(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
