"""Scans that are hard to reconstruct, and how far the objects that are found are from the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import RefineSettings
from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.objects import complex_error, remove_ramp
from ptycho_torch.evaluate.scores import find_illuminated_area, sum_illumination
from ptycho_torch.evaluate.truth import align_truth
from ptycho_torch.solve.scan_model import Solution
from ptycho_torch.solve.solve import refine


def measure_error(scan: Scan, found: Solution) -> float:
    """Complex error over what the scan's own probe illuminates, after the removal of shift and ramp."""
    return _compare(scan, found, scan.require_probe())


def measure_error_at(scan: Scan, positions_px: NDArray[np.float64], settings: RefineSettings) -> float:
    """Complex error of a reconstruction with other positions, whose mean, which only moves the object, is corrected."""
    shift = (positions_px - scan.positions_px).mean(axis=0)
    found = refine(replace(scan, positions_px=positions_px - shift), settings)
    return _compare(scan, found, found.probe)


def _compare(scan: Scan, found: Solution, probe: NDArray[np.complex64]) -> float:
    assert scan.truth is not None
    frame = Frame(scan.positions_px, scan.patch_px)
    image = frame.cut_from(found.canvas)
    # a probe that is refined moves by a fraction of a pixel, and the object with it
    truth, mask = align_truth(frame.cut_from(scan.truth), image, find_illuminated_area(sum_illumination(scan, probe)))
    return complex_error(remove_ramp(image, truth, mask), truth, mask)


def add_vacuum(scan: Scan, margin_px: int) -> Scan:
    """The scan with vacuum around its true object, so that positions may be wrong."""
    assert scan.truth is not None
    corner = (-float(margin_px), -float(margin_px))
    height, width = (side + 2 * margin_px for side in scan.truth.pixels.shape)
    return replace(scan, truth=Canvas(scan.truth.cut_window(corner, (height, width)), corner))


def displace(scan: Scan, shifts_px: NDArray[np.float64]) -> Scan:
    """The scan with positions displaced by shifts without a common part."""
    return replace(scan, positions_px=scan.positions_px + shifts_px - shifts_px.mean(axis=0))


def make_modes(main: NDArray[np.complex64], shares: Sequence[float]) -> NDArray[np.complex64]:
    """A probe (h, w), and the same times one tilt after another, orthogonal, with shares of the power."""
    offset = np.arange(len(main)) - len(main) // 2
    modes: list[NDArray[np.complex64]] = []
    for factor in (np.ones((1, 1)), offset[:, None], offset[None, :]):
        mode = main * factor
        for other in modes:
            mode = mode - other * np.vdot(other, mode)
        modes.append(mode / np.linalg.norm(mode))
    return np.stack([mode * share**0.5 for mode, share in zip(modes, shares, strict=False)]).astype(np.complex64)
