"""Images in the panels of a figure, always with a colour bar, and with a scale bar where there is a scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from ptycho_torch.pictures.lengths import choose_bar

_EDGE = 0.04


def draw_image(
    axis: Axes,
    values: NDArray[Any],
    label: str,
    *,
    title: str = "",
    colours: str = "viridis",
    norm: Normalize | None = None,
) -> None:
    """Draw an image with its colour bar.

    Args:
        axis: the panel.
        values: (height, width) real; NaN is left blank.
        label: what the colours mean, with its unit.
        title: printed above.
        colours: name of a colour map of matplotlib.
        norm: the range of the colours; that of the values by default.
    """
    drawn = axis.imshow(values, cmap=colours, norm=norm, interpolation="nearest")
    figure = axis.get_figure()
    assert figure is not None
    figure.colorbar(drawn, ax=axis, shrink=0.8, label=label)
    axis.set_title(title, fontsize=10)
    axis.set_xticks([])
    axis.set_yticks([])


def draw_pattern(axis: Axes, counts: NDArray[Any], title: str, highest: float) -> None:
    """Draw a diffraction pattern on a logarithmic scale from 1 photon (0.1 in dim patterns) to the highest count."""
    lowest = 1.0 if highest > 10 else highest / 100
    shown = np.where(np.isnan(counts), np.nan, np.maximum(counts, lowest))
    draw_image(axis, shown, "photons", title=title, colours="magma", norm=LogNorm(lowest, max(highest, 2 * lowest)))


def draw_scale_bar(axis: Axes, shape_px: tuple[int, int], pixel_m: float | None) -> None:
    """Draw a scale bar into the lower left of an image: in nanometres, or in pixels if their size is unknown."""
    height, width = shape_px
    length, label = choose_bar(width, pixel_m)
    left, bottom = _EDGE * width - 0.5, (1 - _EDGE) * height - 0.5
    thick = max(0.015 * height, 0.5)
    bar = Rectangle((left, bottom - thick), length, thick, facecolor="white", edgecolor="black", linewidth=0.8)
    bar.set_label("scale bar")
    axis.add_patch(bar)
    text = axis.text(left, bottom - 1.6 * thick, label, color="white", fontsize=8, va="bottom", ha="left")
    text.set_path_effects([patheffects.withStroke(linewidth=1.6, foreground="black")])
