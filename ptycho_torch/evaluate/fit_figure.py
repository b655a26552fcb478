"""Picture of how a reconstruction fits the patterns: probe, a measured pattern beside its prediction, R by epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from ptycho_torch.evaluate.patterns import ComparedPattern
from ptycho_torch.pictures.figure import Picture, make_figure
from ptycho_torch.pictures.image import draw_image, draw_pattern, draw_scale_bar

_SHOWN_SHARE = 0.02
_MOST_DEVIATIONS = 5.0
_MOST_MODES = 4


def draw_fit(
    probe: NDArray[np.complex64],
    pattern: ComparedPattern,
    errors: Sequence[float] = (),
    free_errors: Sequence[float] = (),
    *,
    floor: float | None = None,
    pixel_m: float | None = None,
) -> Picture:
    """Draw a fit in six panels: probe amplitude and phase, R by epoch; measured and modelled pattern, difference.

    Args:
        probe: (mode, h, w) the probe, of which the first mode is shown.
        pattern: the patterns to show.
        errors: R by epoch; empty if it is unknown.
        free_errors: R over held-out pixels by epoch; empty if none were held out.
        floor: R of photon noise alone, drawn as a line.
        pixel_m: side of an object pixel, for the scale bars.
    """
    figure = make_figure(3, 2)
    axes = figure.subplots(2, 3)
    draw_probe(axes[0, 0], axes[0, 1], probe, pixel_m)
    draw_course(axes[0, 2], errors, free_errors, floor)
    highest = float(np.nanmax([np.nanmax(pattern.measured), np.nanmax(pattern.expected), 1e-3]))
    draw_pattern(axes[1, 0], pattern.measured, f"measured, pattern {pattern.number}", highest)
    draw_pattern(axes[1, 1], pattern.expected, f"modelled, R {pattern.error:.4f} (the median)", highest)
    draw_image(
        axes[1, 2],
        pattern.deviations,
        "2 (√modelled − √measured)",
        title="difference / noise",
        colours="RdBu_r",
        norm=Normalize(-_MOST_DEVIATIONS, _MOST_DEVIATIONS),
    )
    return figure


def draw_probe(left: Axes, right: Axes, probe: NDArray[np.complex64], pixel_m: float | None) -> None:
    """Draw amplitude and phase of the first mode of a probe (mode, h, w) into two panels."""
    powers = (np.abs(probe) ** 2).sum(axis=(1, 2))
    shares = ", ".join(f"{share:.0%}" for share in (powers / powers.sum())[:_MOST_MODES])
    more = ", ..." if len(powers) > _MOST_MODES else ""
    amplitude = np.abs(probe[0])
    title = "probe" if len(probe) == 1 else f"probe, mode 1 of {len(probe)} ({shares}{more})"
    draw_image(left, amplitude, "amplitude / √photons", title=title)
    # the phase of dim pixels is noise
    phase = np.where(amplitude > _SHOWN_SHARE * amplitude.max(), np.angle(probe[0]), np.nan)
    draw_image(right, phase, "phase / rad", title="its phase", colours="twilight", norm=Normalize(-np.pi, np.pi))
    for axis in (left, right):
        draw_scale_bar(axis, amplitude.shape, pixel_m)


def draw_course(axis: Axes, errors: Sequence[float], free_errors: Sequence[float], floor: float | None) -> None:
    """Draw R by epoch; see `draw_fit`."""
    axis.set_title("R by epoch", fontsize=10)
    if not errors:
        axis.axis("off")
        axis.text(0.5, 0.5, "no epochs are stored", ha="center", va="center", transform=axis.transAxes)
        return
    for values, label in ((errors, "fitted pixels"), (free_errors, "held-out pixels")):
        if values:
            axis.plot(np.arange(1, len(values) + 1), values, ".-", label=label)
    if floor is not None:
        axis.axhline(floor, color="grey", linestyle="--", label="photon noise alone")
    axis.set(xlabel="epoch", ylabel="R", yscale="log")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("{x:g}")
    axis.tick_params(axis="y", which="both", labelsize=8)
    axis.grid(visible=True, which="both", alpha=0.3)
    axis.legend(fontsize=8)
