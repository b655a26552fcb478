"""Figures of merit of a reconstructed object: how it explains the data, and how it compares with the truth."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.objects import amplitude_correlation, complex_correlation, complex_error, phase_correlation
from ptycho_torch.evaluate.residual import residual
from ptycho_torch.physics.propagate import wrap
from ptycho_torch.solve.scan_model import ScanModel

LIT_SHARE = 0.05
_BATCH = 64


def illumination(scan: Scan, probe: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Photons that fell on each canvas pixel over the whole scan."""
    problem = ScanModel(scan, torch.device("cpu"))
    total = problem.illumination(problem.start_probe(probe, len(probe)), torch.arange(len(scan)))
    result: NDArray[np.float32] = total.numpy()
    return result


def lit_area(light: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Canvas pixels that got more than 5 % of the light of the brightest."""
    return light > LIT_SHARE * light.max()


def evaluate(scan: Scan, canvas: Canvas, probe: NDArray[np.complex64], *, device: torch.device) -> dict[str, float]:
    """Figures of merit by name.

    `R` and `R_floor` always; where the scan knows its truth also `complex_error`, `complex_correlation`,
    `phase_correlation` and `amplitude_correlation` over the lit area.

    Args:
        scan: the data.
        canvas: the object, on the scan's own canvas or another one.
        probe: (mode, h, w) the probe that belongs to it, in √photons.
        device: where to compute.
    """
    problem = ScanModel(scan, device)
    image = problem.start_object(canvas)
    wrapped = wrap(torch.from_numpy(np.array(probe))).to(device)
    batches = torch.arange(len(scan), device=device).split(_BATCH)
    # a single factor brings the object's overall scale to the measured photons: ptychography leaves it open
    expected_photons = sum(float(problem.expected(image, wrapped, batch).sum()) for batch in batches)
    image = image * (float(problem.counts.sum()) / expected_photons) ** 0.5
    misfit = residual(
        ((problem.expected(image, wrapped, batch), problem.counts[batch]) for batch in batches),
        torch.Generator(device).manual_seed(0),
    )
    figures = {"R": misfit.value, "R_floor": misfit.floor}
    if scan.truth is not None:
        truth = scan.truth.cut_window(problem.frame.origin_px, problem.frame.shape_px)
        found, mask = image.cpu().numpy(), lit_area(illumination(scan, probe))
        figures |= {
            "complex_error": complex_error(found, truth, mask),
            "complex_correlation": complex_correlation(found, truth, mask),
            "phase_correlation": phase_correlation(found, truth, mask),
            "amplitude_correlation": amplitude_correlation(found, truth, mask),
        }
    return figures
