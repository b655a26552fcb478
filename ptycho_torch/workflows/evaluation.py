"""The figures of merit of a stored result on a scan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError, ScanFileError
from ptycho_torch.evaluate.figures import Panel, save_comparison
from ptycho_torch.evaluate.residual import Residual
from ptycho_torch.evaluate.scores import evaluate, find_illuminated_area, sum_illumination
from ptycho_torch.evaluate.verdict import Verdict, judge
from ptycho_torch.formats import read_probe
from ptycho_torch.formats.npz import read_object
from ptycho_torch.runtime.device import find_device
from ptycho_torch.storage.writing import write_json

OBJECT_NAME, PROBE_NAME = "object.npz", "probe.npy"


@dataclass(frozen=True, eq=False)
class StoredResult:
    """A reconstruction that was read from files.

    Attributes:
        canvas: the object.
        probe: (mode, h, w) its probe, in √photons or, if it is the scan's own, in the scan's unit.
    """

    canvas: Canvas
    probe: NDArray[np.complex64]


@dataclass(frozen=True)
class Evaluation:
    """How good a result is on a scan.

    Attributes:
        figures: figures of merit by name.
        verdict: whether to trust it.
    """

    figures: dict[str, float]
    verdict: Verdict


def find_result_files(result: Path) -> list[Path]:
    """The files of a result: object and probe of a folder, or one object."""
    if not result.is_dir():
        return [result]
    return [path for path in (result / OBJECT_NAME, result / PROBE_NAME) if path.is_file()]


def read_result(result: Path, scan: Scan) -> StoredResult:
    """Read the object and the probe of a result, and check that they fit a scan.

    Args:
        result: a folder with `object.npz` and `probe.npy`, or an object, to which the scan's probe belongs.
        scan: the scan.

    Raises:
        ScanFileError: a file is missing or unusable.
        DataError: the probe has another size than the patterns, or the object does not lie under the scan.
    """
    canvas = read_object(result / OBJECT_NAME if result.is_dir() else result)
    own = result / PROBE_NAME
    probe = np.asarray(read_probe(own) if result.is_dir() and own.is_file() else scan.require_probe())
    if probe.dtype.kind not in "fc" or not np.isfinite(probe).all():
        raise ScanFileError(f"{own}: the probe must be finite numbers")
    probe = probe.reshape(-1, *probe.shape[-2:]).astype(np.complex64)
    if probe.shape[1:] != (scan.patch_px, scan.patch_px):
        raise DataError(f"{result}: its probe has {probe.shape[-1]} px, and the patterns {scan.patch_px} px")
    if not canvas.has_patches(scan.positions_px, scan.patch_px).any():
        raise DataError(f"{result}: its object does not lie under {scan.name}; name the scan that it was made from")
    return StoredResult(canvas, probe)


def evaluate_result(result: StoredResult, scan: Scan, *, device: str = "auto") -> Evaluation:
    """Compare what a result explains of a scan with the patterns, and its object with the true one, if known.

    Raises:
        ConfigError: the device does not exist.
    """
    figures = evaluate(scan, result.canvas, result.probe, device=find_device(device))
    verdict = judge(scan, result.probe, Residual(figures["R"], figures["R_floor"]), None)
    return Evaluation(figures | verdict.figures, verdict)


def write_evaluation(found: Evaluation, result: StoredResult, scan: Scan, folder: Path) -> dict[str, str]:
    """Write figures and a picture into a folder and return the names of the files by content."""
    paths = {"metrics": folder / "metrics.json", "comparison": folder / "comparison.png"}
    write_json({**found.figures, "verdict": str(found.verdict)}, paths["metrics"])
    frame = Frame(scan.positions_px, scan.patch_px)
    panels = [Panel("result", frame.cut_from(result.canvas), f"R {found.figures['R']:.4f}")]
    if scan.truth is not None:
        panels.insert(0, Panel("true object", frame.cut_from(scan.truth)))
    illumination = sum_illumination(scan, result.probe)
    save_comparison(panels, illumination, find_illuminated_area(illumination), scan.name, paths["comparison"])
    return {name: path.name for name, path in paths.items()}
