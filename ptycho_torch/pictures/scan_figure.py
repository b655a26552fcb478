"""Picture of a scan as it was measured: its mean pattern, its positions, its probe."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.pictures.figure import Picture, make_figure
from ptycho_torch.pictures.image import draw_image, draw_pattern, draw_scale_bar


def draw_scan(
    mean_counts: NDArray[np.floating],
    positions_px: NDArray[np.float64],
    probe: NDArray[Any] | None,
    pixel_m: float | None,
    title: str,
) -> Picture:
    """Draw a scan in three panels.

    Args:
        mean_counts: (h, w) mean photons per pattern, NaN on bad pixels.
        positions_px: (pattern, 2) row and column.
        probe: (mode, h, w), of which the first mode is drawn; None if there is none.
        pixel_m: side of an object pixel, for the scale bar.
        title: printed above.
    """
    figure = make_figure(3, 1.15)
    pattern, positions, wave = figure.subplots(1, 3)
    draw_pattern(pattern, mean_counts, "mean pattern", max(float(np.nanmax(mean_counts)), 1e-3))
    rows, columns = positions_px.T
    drawn = positions.scatter(columns, rows, s=6, c=np.arange(len(rows)), cmap="viridis")
    figure.colorbar(drawn, ax=positions, shrink=0.8, label="pattern")
    positions.set(aspect="equal", xlabel="column / px", ylabel="row / px")
    positions.set_title("positions", fontsize=10)
    positions.invert_yaxis()
    if probe is None:
        wave.axis("off")
        wave.text(0.5, 0.5, "no probe", ha="center", va="center", transform=wave.transAxes)
    else:
        name = "probe" if len(probe) == 1 else f"probe, mode 1 of {len(probe)}"
        draw_image(wave, np.abs(probe[0]), "amplitude", title=name)
        draw_scale_bar(wave, probe[0].shape, pixel_m)
    figure.suptitle(title, fontsize=11)
    return figure
