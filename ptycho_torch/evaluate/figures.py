"""Pictures of reconstructions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import image as matplotlib_image
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from ptycho_torch.evaluate.objects import PhasePlane, find_phase_plane, match_factor, remove_ramp
from ptycho_torch.pictures.figure import DPI, PANEL_INCH, Picture, make_figure, save_figure
from ptycho_torch.pictures.image import draw_image, draw_scale_bar
from ptycho_torch.storage.writing import write_atomically

_LABELS = ("amplitude", "phase / rad")
# of a figure with one panel, beside its colour bar
_SHARE_OF_AXES = 0.7


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


def save_object(
    image: NDArray[np.complexfloating],
    folder: Path,
    mask: NDArray[np.bool_],
    plane: PhasePlane,
    pixel_m: float | None = None,
) -> tuple[Path, Path]:
    """Write `recon_amp.png` and `recon_phase.png`, the phase without a plane.

    Args:
        image: (height, width) object.
        folder: where to write.
        mask: pixels to show; the pictures are cropped to their extent, over the range of the central 98 % inside them.
        plane: phase that the picture lacks.
        pixel_m: side of a pixel, for the scale bar.
    """
    paths = folder / "recon_amp.png", folder / "recon_phase.png"
    for path, values, label in zip(paths, _split(plane.remove_from(image)), _LABELS, strict=True):
        save_figure(draw_grey(values, mask, label, pixel_m), path)
    return paths


def draw_grey(values: NDArray[Any], mask: NDArray[np.bool_], label: str, pixel_m: float | None) -> Picture:
    """Draw an image in grey with its colour bar and scale bar, at least one pixel of the screen per pixel."""
    part = _find_extent(mask)
    shape = values[part].shape
    size = max(1.4, max(shape) / (_SHARE_OF_AXES * DPI * PANEL_INCH))
    figure = make_figure(size, size)
    axis = figure.subplots()
    draw_image(axis, values[part], label, colours="gray", norm=Normalize(*_find_range(values, mask)))
    draw_scale_bar(axis, (shape[0], shape[1]), pixel_m)
    return figure


def draw_object(image: NDArray[np.complexfloating], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Draw amplitude and, to its right, phase in grey, (height, width, 3), scaled and cropped as by `save_object`."""
    part, drawn = _find_extent(mask), []
    for values in _split(find_phase_plane(image, mask).remove_from(image)):
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
    panels: Sequence[Panel],
    coverage: NDArray[np.float32],
    mask: NDArray[np.bool_],
    title: str,
    path: Path,
    pixel_m: float | None = None,
) -> None:
    """Write what `draw_comparison` draws."""
    save_figure(draw_comparison(panels, coverage, mask, title, pixel_m), path)


def draw_comparison(
    panels: Sequence[Panel],
    coverage: NDArray[np.float32],
    mask: NDArray[np.bool_],
    title: str,
    pixel_m: float | None = None,
) -> Picture:
    """Draw objects side by side, amplitude above phase, with the coverage last.

    All panels are scaled to the first one by a complex factor, share its grey scale, and lose the phase ramp that they
    have against it. Phases are shown without the plane of the first panel, which would only wrap them.

    Args:
        panels: the objects, on the same canvas.
        coverage: photons per pixel of the canvas.
        mask: pixels to show.
        title: printed above.
        pixel_m: side of a pixel, for the scale bars.
    """
    plane = find_phase_plane(panels[0].image, mask)
    reference = plane.remove_from(panels[0].image)
    figure = make_figure(len(panels) + 1, 2)
    axes = figure.subplots(2, len(panels) + 1, squeeze=False)
    part = _find_extent(mask)
    shape = mask[part].shape
    norms = [Normalize(*_find_range(values, mask)) for values in _split(reference)]
    for column, panel in enumerate(panels):
        image = match_factor(remove_ramp(panel.image, reference, mask), reference, mask)
        for axis, values, label, norm in zip(axes[:, column], _split(image), _LABELS, norms, strict=True):
            draw_image(axis, np.where(mask, values, np.nan)[part], label, colours="gray", norm=norm)
        axes[0, column].set_title(panel.title, fontsize=10)
        axes[1, column].set_xlabel(panel.note, fontsize=8)
    draw_image(axes[0, -1], coverage[part], "photons / px", title="coverage")
    for axis in (*axes[:, :-1].flat, axes[0, -1]):
        draw_scale_bar(axis, (shape[0], shape[1]), pixel_m)
    axes[1, -1].axis("off")
    axes[1, -1].text(0, 0.98, _describe_plane(plane), fontsize=8, va="top", transform=axes[1, -1].transAxes)
    figure.suptitle(title, fontsize=11)
    return figure


def save_displacements(given_px: NDArray[np.float64], found_px: NDArray[np.float64], path: Path) -> None:
    """Draw an arrow from each given position (row, column) in the direction of the refined one, coloured by length."""
    moved = found_px - given_px
    length = np.linalg.norm(moved, axis=1)
    figure = make_figure(1.8, 2)
    axis = figure.subplots()
    rows, columns = given_px.T
    arrows = axis.quiver(columns, rows, moved[:, 1], moved[:, 0], length, angles="xy", cmap="viridis")
    axis.scatter(columns, rows, s=2, color="grey")
    figure.colorbar(arrows, ax=axis, shrink=0.8, label="displacement / px")
    axis.set(aspect="equal", xlabel="column / px", ylabel="row / px")
    axis.invert_yaxis()
    root_mean_square = float((length**2).mean() ** 0.5)
    axis.set_title(f"refined positions: {root_mean_square:.3g} px rms; arrows are scaled", fontsize=11)
    save_figure(figure, path)


def _split(image: NDArray[np.complexfloating]) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.abs(image), np.angle(image)


def _describe_plane(plane: PhasePlane) -> str:
    return (
        "Phases are shown without the plane\n"
        f"{plane.offset_rad:+.3f} rad\n{plane.row_rad:+.5f} rad per row\n{plane.column_rad:+.5f} rad per column"
        "\nof the first object."
    )


def _find_range(values: NDArray[Any], mask: NDArray[np.bool_]) -> tuple[float, float]:
    low, high = np.percentile(values[mask], [1, 99])
    return float(low), float(high) if high > low else float(low) + 1e-6


def _find_extent(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
