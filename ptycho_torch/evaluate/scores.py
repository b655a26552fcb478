"""Figures of merit of a reconstruction: how it explains the patterns, and how it compares with the true object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptycho_torch.config import RefineSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError
from ptycho_torch.evaluate.objects import amplitude_correlation, complex_correlation, complex_error, phase_correlation
from ptycho_torch.evaluate.residual import residual
from ptycho_torch.physics.propagate import wrap
from ptycho_torch.runtime.ranks import ALONE, Ranks
from ptycho_torch.solve.scan_model import MisfitSum, ScanModel

LIT_SHARE = 0.05
_BATCH = 64


def sum_illumination(scan: Scan, probe: NDArray[np.complex64], ranks: Ranks = ALONE) -> NDArray[np.float32]:
    """Photons per canvas pixel over the whole scan."""
    model = ScanModel(scan, torch.device("cpu"), ranks)
    result: NDArray[np.float32] = model.total_illumination(model.start_probe(probe, len(probe))).numpy()
    return result


def find_illuminated_area(illumination: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Canvas pixels with more than 5 % of the illumination of the brightest one."""
    return illumination > LIT_SHARE * illumination.max()


def match_photons(model: ScanModel, image: Tensor, probe: Tensor, batches: Sequence[Tensor]) -> Tensor:
    """Scale an object so that as many photons are expected of the whole scan as were measured.

    The patterns do not determine how object and probe share the power.

    Args:
        model: the scan.
        image: the object on its canvas.
        probe: (mode, h, w) wrapped probe, in any unit.
        batches: numbers of the patterns of this process.

    Raises:
        DataError: object and probe predict no photons at all.
    """
    scan = model.scan
    own = sum(float(model.expected(image, probe, batch).sum()) for batch in batches)
    expected_photons = float(model.ranks.sum(torch.tensor(own, dtype=torch.float64))) / len(scan)
    photons = scan.sample_photons_per_pattern
    background_photons = scan.photons_per_pattern - photons
    if not expected_photons > background_photons:
        raise DataError(f"{scan.name}: object and probe predict no photons; they must not be zero or NaN")
    return image * (photons / (expected_photons - background_photons)) ** 0.5


def evaluate(
    scan: Scan,
    canvas: Canvas,
    probe: NDArray[np.complex64],
    *,
    device: torch.device,
    ranks: Ranks = ALONE,
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
        ranks: the place of this process; all of them must call this.
        held_out: settings of the solver that held out pixels; None if none did.
    """
    share, seed = (held_out.held_out, held_out.seed) if held_out else (0.0, 0)
    model = ScanModel(scan, device, ranks, held_out_share=share, seed=seed)
    wrapped = wrap(torch.from_numpy(np.array(probe))).to(device)
    batches = list(enumerate(model.patterns.split(_BATCH)))[ranks.rank :: ranks.size]
    image = match_photons(model, model.start_object(canvas), wrapped, [batch for _, batch in batches])
    noise = torch.Generator(device)
    total = MisfitSum(model)

    def compare() -> Iterator[tuple[Tensor, Tensor]]:
        for number, batch in batches:
            # the same noise for a batch, whichever process computes it
            noise.manual_seed(number)
            expected, counts = model.expected(image, wrapped, batch), model.load_counts(batch)
            total.add(model.misfit(expected, counts.sqrt(), batch))
            yield expected, counts

    misfit = residual(compare(), noise, ranks)
    figures = {"R": misfit.value, "R_floor": misfit.floor}
    if model.held_out.per_pattern:
        figures["R_free"] = total.find().free_error
    if scan.truth is not None:
        truth = scan.truth.cut_window(model.frame.origin_px, model.frame.shape_px)
        found, mask = image.cpu().numpy(), find_illuminated_area(sum_illumination(scan, probe, ranks))
        figures |= {
            "complex_error": complex_error(found, truth, mask),
            "complex_correlation": complex_correlation(found, truth, mask),
            "phase_correlation": phase_correlation(found, truth, mask),
            "amplitude_correlation": amplitude_correlation(found, truth, mask),
        }
    return figures
