"""Figures of merit of a reconstruction: how it explains the patterns, and how it compares with the true object."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.config.schema import RefineSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.objects import amplitude_correlation, complex_correlation, complex_error, phase_correlation
from ptycho_torch.evaluate.residual import residual
from ptycho_torch.physics.propagate import wrap
from ptycho_torch.solve.scan_model import Misfit, ScanModel

LIT_SHARE = 0.05
_BATCH = 64


def sum_illumination(scan: Scan, probe: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Photons per canvas pixel over the whole scan."""
    model = ScanModel(scan, torch.device("cpu"))
    total = model.illumination(model.start_probe(probe, len(probe)), torch.arange(len(scan)))
    result: NDArray[np.float32] = total.numpy()
    return result


def find_illuminated_area(illumination: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Canvas pixels with more than 5 % of the illumination of the brightest one."""
    return illumination > LIT_SHARE * illumination.max()


def evaluate(
    scan: Scan,
    canvas: Canvas,
    probe: NDArray[np.complex64],
    *,
    device: torch.device,
    held_out: RefineSettings | None = None,
) -> dict[str, float]:
    """Figures of merit by name.

    `R` and `R_floor`; `R_free` if detector pixels were held out; if the scan has a true object also `complex_error`,
    `complex_correlation`, `phase_correlation` and `amplitude_correlation` over the illuminated area.

    Args:
        scan: the data.
        canvas: the object, on the canvas of the scan or another one.
        probe: (mode, h, w) the probe reconstructed with it, in √photons.
        device: where to compute.
        held_out: settings of the solver that held out pixels; None if none did.
    """
    model = ScanModel(scan, device, held_out.held_out if held_out else 0.0, held_out.seed if held_out else 0)
    image = model.start_object(canvas)
    wrapped = wrap(torch.from_numpy(np.array(probe))).to(device)
    batches = torch.arange(len(scan), device=device).split(_BATCH)
    # the patterns do not determine how object and probe share the power: scale the object to the measured photons
    expected_photons = sum(float(model.expected(image, wrapped, batch).sum()) for batch in batches) / len(scan)
    photons = scan.sample_photons_per_pattern
    background_photons = scan.photons_per_pattern - photons
    image = image * (photons / (expected_photons - background_photons)) ** 0.5
    misfits: list[Misfit] = []

    def predict() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for batch in batches:
            expected = model.expected(image, wrapped, batch)
            misfits.append(model.misfit(expected, batch))
            yield expected, model.counts[batch]

    misfit = residual(predict(), torch.Generator(device).manual_seed(0))
    figures = {"R": misfit.value, "R_floor": misfit.floor}
    if model.held_out.per_pattern:
        figures["R_free"] = Misfit.of_batches(misfits).free_error
    if scan.truth is not None:
        truth = scan.truth.cut_window(model.frame.origin_px, model.frame.shape_px)
        found, mask = image.cpu().numpy(), find_illuminated_area(sum_illumination(scan, probe))
        figures |= {
            "complex_error": complex_error(found, truth, mask),
            "complex_correlation": complex_correlation(found, truth, mask),
            "phase_correlation": phase_correlation(found, truth, mask),
            "amplitude_correlation": amplitude_correlation(found, truth, mask),
        }
    return figures
