"""Pictures of a final report: what each object pixel has seen, and the Fourier ring correlation."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from ptycho_torch.data.coverage import Coverage
from ptycho_torch.evaluate.frc import RingCorrelation
from ptycho_torch.pictures.figure import Picture, make_figure
from ptycho_torch.pictures.image import draw_image, draw_scale_bar


def draw_coverage(coverage: Coverage) -> Picture:
    """Draw the fluence and the number of views of each object pixel, with the limit of the scanned area."""
    figure = make_figure(2.4, 1.3)
    left, right = figure.subplots(1, 2)
    shape = coverage.fluence.shape
    draw_image(left, coverage.fluence, "photons / px", title="fluence")
    highest = max(int(coverage.views.max()), 1)
    draw_image(right, coverage.views, "patterns", title="views per pixel", norm=Normalize(0, highest))
    for axis in (left, right):
        if not coverage.area.all():
            axis.contour(coverage.area, levels=[0.5], colors="white", linewidths=0.8)
        draw_scale_bar(axis, (shape[0], shape[1]), coverage.pixel_m)
    return figure


def draw_correlations(correlations: dict[str, RingCorrelation], pixel_m: float | None) -> Picture:
    """Draw Fourier ring correlations by name, with the ½-bit threshold and where they cross it."""
    figure = make_figure(1.8, 1.3)
    axis = figure.subplots()
    for name, found in correlations.items():
        [line] = axis.plot(found.frequency, found.correlation, label=f"{name}: {found.crossing:.2f} of Nyquist")
        axis.axvline(found.crossing, color=line.get_color(), linestyle=":")
    threshold = next(iter(correlations.values()))
    axis.plot(threshold.frequency, threshold.threshold, color="grey", linestyle="--", label="½-bit threshold")
    axis.set(xlabel="spatial frequency / Nyquist", ylabel="correlation", xlim=(0, 1), ylim=(-0.1, 1.05))
    axis.grid(visible=True, alpha=0.3)
    axis.legend(fontsize=8)
    if pixel_m is not None:
        _add_half_periods(axis, pixel_m)
    return figure


def _add_half_periods(axis: Axes, pixel_m: float) -> None:
    """A second axis with the half period in nanometres."""
    ticks = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0])
    above = axis.secondary_xaxis("top")
    above.set_xticks(ticks, [f"{pixel_m * 1e9 / tick:.3g}" for tick in ticks])
    above.set_xlabel("half period / nm", fontsize=9)
    above.tick_params(labelsize=8)
