"""How results show themselves: pictures for files, and what notebooks display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.figures import Panel, draw_comparison
from ptycho_torch.evaluate.fit_figure import draw_fit
from ptycho_torch.evaluate.patterns import compare_typical_pattern
from ptycho_torch.evaluate.scores import find_illuminated_area, sum_illumination
from ptycho_torch.evaluate.verdict import Verdict
from ptycho_torch.pictures.figure import Picture, embed_figure
from ptycho_torch.pictures.table import make_table
from ptycho_torch.solve.scan_model import Solution


class ShownObject(NamedTuple):
    """An object of a result.

    Attributes:
        title: its name for readers.
        canvas: the object.
        figures: figures of merit by name.
    """

    title: str
    canvas: Canvas
    figures: Mapping[str, float]


class ShownResult(Protocol):
    """A result that can be shown."""

    @property
    def scan(self) -> Scan:
        """The scan as it was given."""

    @property
    def solution(self) -> Solution:
        """Object, probe, R by epoch, and the corrected scan."""

    @property
    def verdict(self) -> Verdict:
        """Whether to trust it."""

    @property
    def shown_objects(self) -> Sequence[ShownObject]:
        """The objects to compare, among them that of the solution."""


class Shown:
    """What the results have in common that show themselves; they have the attributes of `ShownResult`."""

    def plot(self: ShownResult) -> Picture:
        """Draw the object beside the true one, if known, and the coverage."""
        return draw_objects(self)

    def plot_fit(self: ShownResult) -> Picture:
        """Draw the probe, a measured pattern beside its prediction, and R by epoch."""
        return draw_result_fit(self)

    def _repr_html_(self: ShownResult) -> str:
        """Verdict, figures and pictures, as notebooks show them."""
        return make_html(self)


def draw_objects(result: ShownResult) -> Picture:
    """Draw the objects of a result side by side, the true one, if known, first, and the coverage."""
    scan = result.solution.scan or result.scan
    illumination = sum_illumination(scan, result.solution.probe)
    panels = [Panel(title, canvas.pixels, _format_note(figures)) for title, canvas, figures in result.shown_objects]
    if scan.truth is not None:
        panels.insert(0, Panel("true object", Frame(scan.positions_px, scan.patch_px).cut_from(scan.truth)))
    title = f"{scan.name}: {len(scan)} patterns of {scan.patch_px}², {scan.photons_per_pattern:.3g} photons each"
    return draw_comparison(panels, illumination, find_illuminated_area(illumination), title, scan.pixel_m)


def draw_result_fit(result: ShownResult) -> Picture:
    """Draw probe, a measured pattern beside its prediction, and R by epoch of a result."""
    solution = result.solution
    scan = solution.scan or result.scan
    return draw_fit(
        solution.probe,
        compare_typical_pattern(scan, solution.canvas, solution.probe),
        solution.errors,
        solution.free_errors,
        floor=_find_own(result).figures["R_floor"],
        pixel_m=scan.pixel_m,
    )


def make_html(result: ShownResult) -> str:
    """Verdict, figures and pictures of a result, as notebooks show them."""
    figures = _find_own(result).figures
    rows = [("verdict", str(result.verdict)), *((name, f"{value:.4g}") for name, value in figures.items())]
    objects = embed_figure(draw_objects(result), "objects and coverage")
    return make_table(rows) + objects + embed_figure(draw_result_fit(result), "probe, R by epoch, patterns")


def _find_own(result: ShownResult) -> ShownObject:
    """The object of the solution among those that are shown."""
    own = result.solution.canvas
    return next(shown for shown in result.shown_objects if shown.canvas is own)


def _format_note(figures: Mapping[str, float]) -> str:
    free = f", free {figures['R_free']:.4f}" if "R_free" in figures else ""
    lines = [f"R {figures['R']:.4f}{free} (floor {figures['R_floor']:.4f})"]
    if "complex_error" in figures:
        lines.append(f"error {figures['complex_error']:.3f}, phase corr. {figures['phase_correlation']:.3f}")
    return "\n".join(lines)
