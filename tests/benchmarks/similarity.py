"""Structural similarity of an object with the true one, over the illuminated area."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.image import structural_similarity_index_measure

from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.objects import complex_error, match_factor, remove_ramp
from ptycho_torch.evaluate.scores import find_illuminated_area, sum_illumination


def compare(scan: Scan, canvas: Canvas) -> dict[str, float]:
    """Compare an object with the true one: SSIM of amplitude and phase, and the complex error.

    SSIM has a Gaussian window of 1.5 px, and the mean over pixels with more than 5 % of the greatest illumination;
    everywhere else the object is replaced by the true one. The best complex factor and the plane that fits the phase's
    error are removed first. The data range is that of the truth; `phase_2pi` has 2π instead, as published figures do.
    """
    assert scan.truth is not None
    assert scan.probe is not None
    frame = Frame(scan.positions_px, scan.patch_px)
    truth = scan.truth.cut_window(frame.origin_px, frame.shape_px)
    mask = find_illuminated_area(sum_illumination(scan, scan.probe))
    found = _level(canvas.cut_window(frame.origin_px, frame.shape_px), truth, mask)
    reference = truth[mask].mean()
    phases = [np.angle(image / reference) for image in (found, truth)]
    return {
        "amplitude": _ssim(np.abs(found), np.abs(truth), mask),
        "phase": _ssim(phases[0], phases[1], mask),
        "phase_2pi": _ssim(phases[0], phases[1], mask, 2 * math.pi),
        "error": complex_error(found, truth, mask),
    }


def _level(
    image: NDArray[np.complex64], truth: NDArray[np.complex64], mask: NDArray[np.bool_]
) -> NDArray[np.complexfloating]:
    """The image with the truth's complex factor and phase plane, and the truth outside of the mask."""
    level = match_factor(remove_ramp(image, truth, mask), truth, mask)
    rows, columns = np.nonzero(mask)
    terms = np.stack([rows, columns, np.ones(len(rows))], axis=1)
    slopes = np.linalg.lstsq(terms, np.angle(level / truth)[mask], rcond=None)[0]
    row, column = np.ogrid[: mask.shape[0], : mask.shape[1]]
    level = level * np.exp(-1j * (slopes[0] * row + slopes[1] * column + slopes[2]))
    return np.where(mask, match_factor(level, truth, mask), truth)


def _ssim(image: NDArray[np.floating], truth: NDArray[np.floating], mask: NDArray[np.bool_], span: float = 0) -> float:
    span = span or float(np.ptp(truth[mask]))
    first, second = (torch.from_numpy(values.astype(np.float64))[None, None] for values in (image, truth))
    result = structural_similarity_index_measure(first, second, data_range=span, return_full_image=True)
    return float(result[1][0, 0].numpy()[mask].mean())
