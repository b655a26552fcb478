"""Pictures of a diagnosis: patterns, probe, fluence, views, positions, what was tried."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ptycho_torch.data.coverage import Coverage
from ptycho_torch.data.scan import Scan
from ptycho_torch.data.stored_counts import measure_mean, sum_photons
from ptycho_torch.doctor.diagnosis import Diagnosis

_PANEL_INCH = 3.0
_COLUMNS = 4
_MOST_BARS = 24
_MOST_POINTS = 20_000
_NAME_LENGTH = 44


def draw_overview(found: Diagnosis) -> bytes:
    """Draw what the file contains and what was made of it, as a PNG file."""
    panels: list[Callable[[Figure, Axes], None]] = [
        partial(draw, scan=found.scan) for draw in (_draw_mean, _draw_pattern, _draw_photons)
    ]
    if found.coverage is not None and found.probe is not None and found.image is not None:
        panels += [
            partial(_draw_positions, scan=found.scan),
            partial(_draw_probe, probe=found.probe),
            partial(_draw_fluence, coverage=found.coverage),
            partial(_draw_views, coverage=found.coverage),
            partial(_draw_object, image=found.image, margin=found.scan.patch_px // 4),
        ]
    rows = -(-len(panels) // _COLUMNS)
    figure = Figure(figsize=(_COLUMNS * _PANEL_INCH + 2, rows * _PANEL_INCH + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, _COLUMNS).flat
    for axis, draw in zip(axes, panels, strict=False):
        draw(figure, axis)
        axis.tick_params(labelsize=7)
        axis.title.set_fontsize(9)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    return _to_png(figure)


def draw_trials(found: Diagnosis) -> bytes:
    """Draw what each way of reading left unexplained, the best ones first, as a PNG file."""
    best = sorted(found.tried, key=lambda tried: tried.unexplained)[:_MOST_BARS]
    figure = Figure(figsize=(9.0, 0.6 + 0.24 * max(len(best), 2)), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    names = [tried.name[:_NAME_LENGTH] for tried in best]
    colours = ["tab:orange" if tried.name == "as read" else "tab:blue" for tried in best]
    axis.barh(range(len(best)), [tried.unexplained for tried in best], color=colours)
    axis.set_yticks(range(len(best)), names, fontsize=8)
    axis.invert_yaxis()
    axis.axvline(1, color="grey", linewidth=0.8)
    axis.set_xlabel("share of the differences between patterns that remains unexplained", fontsize=8)
    return _to_png(figure)


def _to_png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()


def _show(figure: Figure, axis: Axes, image: NDArray[Any], title: str, label: str, **options: Any) -> None:  # noqa: ANN401 - of imshow
    drawn = axis.imshow(image, **options)
    figure.colorbar(drawn, ax=axis, shrink=0.8).set_label(label, fontsize=7)
    axis.set_title(title)


def _show_pattern(figure: Figure, axis: Axes, scan: Scan, image: NDArray[Any], title: str) -> None:
    shown = np.where(scan.good_pixels, image, np.nan)
    high = max(float(np.nanmax(shown)), 1.0)
    lit = shown[shown > 0]
    low = max(float(np.percentile(lit, 5)) if lit.size else high / 10, high * 1e-6)
    _show(
        figure, axis, np.maximum(shown, low), title, "photons", norm=LogNorm(min(low, high / 2), high), cmap="inferno"
    )


def _draw_mean(figure: Figure, axis: Axes, scan: Scan) -> None:
    _show_pattern(figure, axis, scan, measure_mean(scan.counts), "mean pattern (bad pixels white)")


def _draw_pattern(figure: Figure, axis: Axes, scan: Scan) -> None:
    number = len(scan) // 2
    name = number if scan.numbers is None else int(scan.numbers[number])
    _show_pattern(figure, axis, scan, scan.counts[number], f"pattern {name}")


def _draw_photons(figure: Figure, axis: Axes, scan: Scan) -> None:
    numbers = np.arange(len(scan)) if scan.numbers is None else scan.numbers
    axis.plot(numbers, sum_photons(scan.counts, scan.good_pixels), ".", markersize=2)
    axis.set_ylim(bottom=0)
    axis.set_title("photons of each pattern")
    axis.set_xlabel("number in the file", fontsize=7)


def _draw_positions(figure: Figure, axis: Axes, scan: Scan) -> None:
    shown = np.arange(0, len(scan), max(1, len(scan) // _MOST_POINTS))
    rows, columns = scan.positions_px[shown].T
    drawn = axis.scatter(columns, rows, c=shown, s=4, cmap="viridis")
    figure.colorbar(drawn, ax=axis, shrink=0.8).set_label("order", fontsize=7)
    axis.set_aspect("equal")
    axis.invert_yaxis()
    axis.set_title("positions (object pixels)")


def _draw_probe(figure: Figure, axis: Axes, probe: NDArray[np.complex64]) -> None:
    title = "probe found, amplitude (first mode)"
    _show(figure, axis, np.abs(probe[0]), title, "√photons", cmap="gray")


def _draw_fluence(figure: Figure, axis: Axes, coverage: Coverage) -> None:
    _show(figure, axis, coverage.fluence, "fluence over the scan", "photons / px", cmap="viridis")


def _draw_views(figure: Figure, axis: Axes, coverage: Coverage) -> None:
    _show(figure, axis, coverage.views, "patterns that see a pixel", "patterns", cmap="viridis")


def _draw_object(figure: Figure, axis: Axes, image: NDArray[np.complex64], margin: int) -> None:
    inner = image[margin:-margin, margin:-margin]
    # a displaced beam tilts the phase: shown without the mean step from pixel to pixel
    steps = [np.angle((inner[1:] * inner[:-1].conj()).sum()), np.angle((inner[:, 1:] * inner[:, :-1].conj()).sum())]
    rows, columns = (np.arange(length) for length in inner.shape)
    flat = inner * np.exp(-1j * (steps[0] * rows[:, None] + steps[1] * columns))
    _show(figure, axis, np.angle(flat * np.exp(-1j * np.angle(flat.sum()))), "phase of a short reconstruction", "rad",
          cmap="gray")  # fmt: skip
