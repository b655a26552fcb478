"""Solutions and corrected scans as tensors and plain values, in which the state of a run is saved."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.runtime.saved_state import Values
from ptycho_torch.solve.corrected_scan import CorrectedScan
from ptycho_torch.solve.positions import cover_truth
from ptycho_torch.solve.scan_model import Correction, Solution


def pack_array(array: NDArray[Any] | None) -> Tensor | None:
    """An array as a tensor, which shares its memory if it may be written to."""
    if array is None:
        return None
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def unpack_array(value: Tensor | None) -> NDArray[Any] | None:
    """What `pack_array` packed."""
    return None if value is None else value.numpy()


def pack_canvas(canvas: Canvas) -> Values:
    """Pack an object with its place."""
    place = [float(value) for value in canvas.origin_px]
    return {"pixels": pack_array(canvas.pixels), "origin_px": place, "pixel_m": canvas.pixel_m}


def unpack_canvas(values: Values) -> Canvas:
    """What `pack_canvas` packed."""
    row, column = values["origin_px"]
    return Canvas(values["pixels"].numpy(), (row, column), values["pixel_m"])


def pack_scan(scan: Scan) -> Values:
    """Pack what can be corrected of a scan."""
    return {
        "positions_px": pack_array(scan.positions_px),
        "probe": pack_array(scan.probe),
        "background": pack_array(scan.background),
    }


def unpack_scan(given: Scan, values: Values) -> Scan:
    """What `pack_scan` packed; the rest is that of the scan that was given."""
    positions_px, probe, background = (unpack_array(values[name]) for name in ("positions_px", "probe", "background"))
    if positions_px is None or np.array_equal(positions_px, given.positions_px):
        return replace(given, probe=probe, background=background)
    truth = cover_truth(given.truth, positions_px, given.patch_px)
    return replace(given, positions_px=positions_px, probe=probe, background=background, truth=truth)


def pack_corrected(corrected: CorrectedScan) -> Values:
    """Pack a scan after a correction."""
    start = None if corrected.start is None else pack_canvas(corrected.start)
    return {"scan": pack_scan(corrected.scan), "figures": corrected.figures, "start": start}


def unpack_corrected(given: Scan, values: Values) -> CorrectedScan:
    """What `pack_corrected` packed; the rest is that of the scan that was given."""
    # states of earlier releases contain no object
    start = unpack_canvas(values["start"]) if values.get("start") else None
    return CorrectedScan(unpack_scan(given, values["scan"]), dict(values["figures"]), start)


def pack_solution(solution: Solution) -> Values:
    """Pack a reconstruction."""
    return {
        "canvas": pack_canvas(solution.canvas),
        "probe": pack_array(solution.probe),
        "errors": list(solution.errors),
        "method": solution.method,
        "free_errors": list(solution.free_errors),
        "remarks": list(solution.remarks),
        "free_error": solution.free_error,
        "corrections": [asdict(each) for each in solution.corrections],
        "scan": None if solution.scan is None else pack_scan(solution.scan),
    }


def unpack_solution(given: Scan, values: Values) -> Solution:
    """What `pack_solution` packed; `given` is the scan before any correction."""
    return Solution(
        unpack_canvas(values["canvas"]),
        values["probe"].numpy(),
        tuple(values["errors"]),
        values["method"],
        tuple(values["free_errors"]),
        tuple(values["remarks"]),
        free_error=values["free_error"],
        corrections=tuple(Correction(**each) for each in values["corrections"]),
        scan=None if values["scan"] is None else unpack_scan(given, values["scan"]),
    )
