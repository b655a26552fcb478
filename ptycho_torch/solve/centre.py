"""Detector centre: patterns that are displaced by some pixels look like a phase ramp of the probe.

A ramp of the object explains the same patterns, so that a displacement by part of a pixel is no error: it only tilts
the object's phase. By several pixels, the ramp is so steep that a solver does not find it from a flat object.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ptycho_torch.config import RefineSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.physics.propagate import propagate_back_wrapped, propagate_wrapped, sum_intensities, unwrap
from ptycho_torch.runtime.ranks import Ranks
from ptycho_torch.solve.corrected_scan import CorrectedScan
from ptycho_torch.solve.scan_model import ScanModel

_BATCH = 64


@torch.no_grad()
def refine_centre(scan: Scan, settings: RefineSettings, device: torch.device, ranks: Ranks) -> CorrectedScan:
    """Find by how many whole pixels the patterns of a scan are displaced on the detector.

    It is the displacement at which the probe's far field is most like the mean pattern.

    Args:
        scan: patterns, positions and probe.
        settings: of the solver.
        device: where to compute.
        ranks: the place of this process; all of them must call this.

    Returns:
        The scan with a probe whose far field is displaced like the patterns, and the displacement in detector pixels.
    """
    model = ScanModel(scan, device, ranks, held_out_share=settings.held_out, seed=settings.seed)
    probe = model.start_probe(None, settings.probe_modes)
    row, column = _find_displacement(model, probe)
    turns = torch.fft.fftfreq(scan.patch_px, device=device) * (2 * torch.pi)
    phases = row * turns[:, None] + column * turns
    moved = probe * torch.polar(torch.ones_like(phases), phases)
    found = replace(scan, probe=unwrap(moved).cpu().numpy())
    return CorrectedScan(found, {"row_px": float(row), "column_px": float(column)})


def _find_displacement(model: ScanModel, probe: Tensor) -> tuple[int, int]:
    """Displacement (row, column) at which √ of the probe's far field correlates best with √ of the mean pattern."""
    expected = (sum_intensities(propagate_wrapped(probe)) * model.good).sqrt()
    total = torch.zeros_like(expected)
    for part in model.own.split(_BATCH):
        total += (model.fitted(part) * model.load_counts(part)).sum(0)
    images = expected, model.ranks.sum(total).sqrt()
    first, second = (propagate_wrapped(torch.complex(image, torch.zeros_like(image))) for image in images)
    likeness = propagate_back_wrapped(second * first.conj()).real
    row, column = divmod(int(likeness.argmax()), likeness.shape[-1])
    return _centre(row, likeness.shape[-1]), _centre(column, likeness.shape[-1])


def _centre(place: int, side: int) -> int:
    """A wrapped place as a displacement, negative from the middle on."""
    return place - side if place >= side // 2 else place
