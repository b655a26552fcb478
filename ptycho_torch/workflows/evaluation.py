"""The final report of a stored result: figures of merit, what they mean, and pictures."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ptycho_torch
from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.coverage import Coverage, measure_coverage
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError
from ptycho_torch.evaluate.figures import Panel, draw_comparison
from ptycho_torch.evaluate.fit_figure import draw_fit
from ptycho_torch.evaluate.frc import RingCorrelation, cut_middle, ring_correlation
from ptycho_torch.evaluate.patterns import ComparedPattern, compare_typical_pattern
from ptycho_torch.evaluate.placement import PlacedResult, place_result
from ptycho_torch.evaluate.report import (
    Entry,
    describe_coverage,
    describe_fit,
    describe_resolution,
    describe_scan,
    describe_truth,
)
from ptycho_torch.evaluate.report_figures import draw_correlations, draw_coverage
from ptycho_torch.evaluate.residual import Residual
from ptycho_torch.evaluate.scores import evaluate, find_illuminated_area, sum_illumination
from ptycho_torch.evaluate.truth import align_truth, compare_with_truth
from ptycho_torch.evaluate.verdict import Verdict, judge
from ptycho_torch.formats.result import ResultFile
from ptycho_torch.pictures.figure import Picture, embed_png, encode_png
from ptycho_torch.pictures.page import render_page
from ptycho_torch.pictures.table import make_table
from ptycho_torch.runtime.device import find_device
from ptycho_torch.storage.writing import write_atomically, write_json

_log = logging.getLogger(__name__)

REPORT_FORMAT = 1
_HALVES, _WITH_TRUTH = "two halves", "with the true object"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good a result is on a scan.

    Attributes:
        placed: the result under the scan.
        program: what made it.
        figures: figures of merit by name.
        verdict: whether to trust it.
        coverage: size, step, overlap and dose of the scan.
        pattern: a measured pattern and its prediction.
        epochs: R by epoch of the fitted and of held-out pixels, as far as they are stored.
        truth: (height, width) true object on the canvas of the scan, or None.
        correlations: Fourier ring correlations by what is correlated.
    """

    placed: PlacedResult
    program: str
    figures: dict[str, float]
    verdict: Verdict
    coverage: Coverage
    pattern: ComparedPattern
    epochs: tuple[tuple[float, ...], tuple[float, ...]]
    truth: NDArray[Any] | None
    correlations: dict[str, RingCorrelation]

    @cached_property
    def sections(self) -> dict[str, list[Entry]]:
        """The figures of the report by heading."""
        scan = self.placed.scan
        found = {
            "scan": describe_scan(scan, self.coverage),
            "probe and overlap": describe_coverage(scan, self.coverage),
            "fit": describe_fit(self.figures),
        }
        if _HALVES in self.correlations:
            found["resolution"] = describe_resolution(self.correlations[_HALVES], scan.pixel_m)
        if self.truth is not None:
            found["true object"] = describe_truth(self.figures)
        return found

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values; a figure that is unknown is None."""
        values: dict[str, Any] = {"format": REPORT_FORMAT, "scan_name": self.placed.scan.name, "program": self.program}
        values |= {"verdict": self.verdict.word, "reasons": list(self.verdict.reasons)}
        for heading, entries in self.sections.items():
            values[heading.replace(" ", "_")] = {entry.key: entry.value for entry in entries}
        values["frc"] = {
            name: {
                "frequency_nyquist": found.frequency.tolist(),
                "correlation": found.correlation.tolist(),
                "half_bit_threshold": found.threshold.tolist(),
            }
            for name, found in self.correlations.items()
        }
        values["R_by_epoch"], values["R_free_by_epoch"] = (list(errors) for errors in self.epochs)
        return values

    def plot(self) -> Picture:
        """Draw the object beside the true one, if known, and the coverage."""
        scan, canvas = self.placed.scan, self.placed.canvas
        illumination = sum_illumination(scan, self.placed.probe)
        frame = Frame(scan.positions_px, scan.patch_px)
        panels = [Panel("result", frame.cut_from(canvas), f"R {self.figures['R']:.4f}")]
        if self.truth is not None:
            panels.insert(0, Panel("true object", self.truth))
        mask = find_illuminated_area(illumination)
        return draw_comparison(panels, illumination, mask, scan.name, scan.pixel_m)

    def plot_fit(self) -> Picture:
        """Draw the probe, a measured pattern beside its prediction, and R by epoch."""
        errors, free_errors = self.epochs
        # other programs have other errors, which photon noise says nothing about
        floor = self.figures["R_floor"] if self.program == "ptycho_torch" else None
        pixel_m = self.placed.scan.pixel_m
        return draw_fit(self.placed.probe, self.pattern, errors, free_errors, floor=floor, pixel_m=pixel_m)

    @cached_property
    def pictures(self) -> dict[str, tuple[str, bytes]]:
        """Caption and PNG file by name."""
        found = {
            "comparison": ("Object: amplitude above, phase below, and the photons on each pixel", self.plot()),
            "fit": ("Probe, R by epoch; a pattern of median R, as measured and as modelled", self.plot_fit()),
            "coverage": ("Fluence and views per pixel; the line bounds the scanned area", draw_coverage(self.coverage)),
        }
        if self.correlations:
            drawn = draw_correlations(self.correlations, self.placed.scan.pixel_m)
            found["frc"] = ("Fourier ring correlation", drawn)
        return {name: (caption, encode_png(picture)) for name, (caption, picture) in found.items()}

    def render(self) -> str:
        """The report as one HTML page."""
        tables = {
            heading.capitalize(): make_table((entry.label, entry.text, entry.meaning) for entry in entries)
            for heading, entries in self.sections.items()
        }
        notes = [f"Result of {self.program}; report by ptycho_torch {ptycho_torch.__version__}."]
        if _HALVES not in self.correlations:
            notes.append("No resolution is given: it takes reconstructions of two halves, `refine --halves` or --half.")
        return render_page(
            f"{self.placed.scan.name}: reconstruction",
            (self.verdict.word, f"Verdict: {self.verdict}"),
            tables,
            [(caption, embed_png(picture, caption)) for caption, picture in self.pictures.values()],
            notes,
        )

    def _repr_html_(self) -> str:
        """Verdict, figures and pictures, as notebooks show them."""
        rows = [(entry.label, entry.text) for entries in self.sections.values() for entry in entries]
        images = "".join(embed_png(picture, caption) for caption, picture in self.pictures.values())
        return make_table([("verdict", str(self.verdict)), *rows]) + images


def evaluate_result(
    result: ResultFile,
    scan: Scan,
    *,
    truth: ResultFile | None = None,
    half: ResultFile | None = None,
    halves: tuple[Canvas, Canvas] | None = None,
    device: str = "auto",
) -> Evaluation:
    """Compare what a result explains of a scan with the patterns, and its object with the true one, if known.

    Args:
        result: the result.
        scan: the scan.
        truth: a true object to compare with; by default that of the scan.
        half: a result of the other half of the data, if `result` is of one half; they give the resolution.
        halves: objects of two halves in the coordinates of the scan; they give the resolution of the whole.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        ConfigError: the device does not exist.
        DataError: something does not lie under the scan, or is of another size.
    """
    place = find_device(device)
    placed = place_result(result, scan)
    # a true object of the scan that is not in the coordinates of the result is sought like one from another file
    given = truth.pixels if truth else None if scan.truth is None else scan.truth.pixels
    scan = placed.scan
    figures = evaluate(scan, placed.canvas, placed.probe, device=place)
    verdict = judge(scan, placed.probe, Residual(figures["R"], figures["R_floor"]), None)
    figures |= verdict.figures
    frame = Frame(scan.positions_px, scan.patch_px)
    image = frame.cut_from(placed.canvas)
    mask = find_illuminated_area(sum_illumination(scan, placed.probe))
    wanted: NDArray[Any] | None = None
    if given is not None and (truth is not None or scan.truth is None):
        wanted, covered = align_truth(given, image, mask)
        figures |= compare_with_truth(image, wanted, covered)
    elif scan.truth is not None:
        wanted = frame.cut_from(scan.truth)
    correlations = _correlate(placed, wanted, frame, half, halves)
    if _HALVES in correlations:
        figures["frc_half_bit_nyquist"] = correlations[_HALVES].crossing
    return Evaluation(
        placed=placed,
        program=result.program,
        figures=figures,
        verdict=verdict,
        coverage=measure_coverage(scan, placed.probe),
        pattern=compare_typical_pattern(scan, placed.canvas, placed.probe),
        epochs=(result.errors, result.free_errors),
        truth=wanted,
        correlations=correlations,
    )


def _correlate(
    placed: PlacedResult,
    truth: NDArray[Any] | None,
    frame: Frame,
    half: ResultFile | None,
    halves: tuple[Canvas, Canvas] | None,
) -> dict[str, RingCorrelation]:
    """Correlate two halves, if known, and the object with the true one."""
    found: dict[str, RingCorrelation] = {}
    positions = placed.scan.positions_px
    if half is not None:
        other = place_result(half, placed.scan)
        pair = cut_middle(positions, placed.canvas), cut_middle(other.scan.positions_px, other.canvas)
        found[_HALVES] = ring_correlation(*pair)
    elif halves is not None:
        found[_HALVES] = ring_correlation(*(cut_middle(positions, canvas) for canvas in halves))
    if truth is not None:
        canvas = Canvas(np.asarray(truth, np.complex64), frame.origin_px)
        try:
            pair = cut_middle(positions, placed.canvas), cut_middle(positions, canvas)
            found[_WITH_TRUTH] = ring_correlation(*pair)
        except DataError as error:
            _log.warning("no correlation with the true object: %s", error)
    return found


def write_evaluation(found: Evaluation, folder: Path) -> dict[str, str]:
    """Write report, figures and pictures into a folder and return the names of the files by content."""
    names = {"report": "report.html", "report_values": "report.json", "metrics": "metrics.json"}
    with write_atomically(folder / names["report"]) as file:
        file.write(found.render().encode())
    write_json(found.to_dict(), folder / names["report_values"])
    write_json({**found.figures, "verdict": str(found.verdict)}, folder / names["metrics"])
    for name, (_, picture) in found.pictures.items():
        names[name] = f"{name}.png"
        with write_atomically(folder / names[name]) as file:
            file.write(picture)
    return names
