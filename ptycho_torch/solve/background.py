"""Refinement of the photons that do not come from the sample: the same in every pattern, constant or smooth."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from ptycho_torch.config import RefineSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DivergenceError
from ptycho_torch.physics.losses import LEAST_COUNTS
from ptycho_torch.physics.propagate import unwrap, wrap
from ptycho_torch.runtime.ranks import Ranks
from ptycho_torch.runtime.saved_state import UNSAVED, Stage
from ptycho_torch.solve.corrected_scan import CorrectedScan
from ptycho_torch.solve.least_squares import run_least_squares
from ptycho_torch.solve.scan_model import ScanModel
from ptycho_torch.solve.solver import read_tensors

_ROUNDS = 15
_EPOCHS_PER_ROUND = 4
_NEWTON_STEPS = 2
# waves of the smooth background, in half periods over the detector
_ORDER = 4
# share of the pixels that are darker than the first guess
_DARK = 0.1
_LEAST_SHARE = 1e-4
_BATCH = 64


@torch.no_grad()
def refine_background(
    scan: Scan, settings: RefineSettings, device: torch.device, ranks: Ranks, stage: Stage = UNSAVED
) -> CorrectedScan:
    """Find the background of a scan, starting from a flat object.

    A few epochs of least squares alternate with Newton steps of the Poisson likelihood. The background is a sum of
    cosines, or a constant.

    Args:
        scan: patterns, positions and probe; its own background is replaced.
        settings: `refine_background` is `constant` or `smooth`.
        device: where to compute.
        ranks: the place of this process; all of them must call this.
        stage: where rounds are saved, and from which the next one goes on.

    Returns:
        The scan with its background, the object, and figures: mean photons per detector pixel and share of all photons.

    Raises:
        DivergenceError: values became non-finite, or no photon would come from the sample.
        DataError: the same of the last background.
    """
    model = ScanModel(scan, device, ranks, held_out_share=settings.held_out, seed=settings.seed)
    waves = _make_cosines(scan.patch_px, _ORDER if settings.refine_background == "smooth" else 0, device)
    weights = torch.zeros(len(waves), device=device)
    mean_pattern = model.mean_pattern()
    weights[0] = torch.quantile(mean_pattern[model.good > 0], _DARK).clamp_min(LEAST_COUNTS)
    canvas, probe = model.start_object(None), model.start_probe(None, settings.probe_modes)
    rounds = replace(settings, method="least_squares", epochs=_EPOCHS_PER_ROUND)
    photons = scan.photons_per_pattern
    probe = probe * (photons / scan.sample_photons_per_pattern) ** 0.5
    share, start = 0.0, 0
    like = {"canvas": canvas, "probe": probe, "weights": weights}
    saved = stage.load(lambda values: (read_tensors(values, like), float(values["share"]), int(values["rounds"])))
    if saved:
        (canvas, probe, weights), share, start = saved
    for number in range(start, _ROUNDS):
        model.background = _make_background(model, waves, weights)
        before, share = share, float(model.background.sum()) / photons
        if share >= 1:
            raise DivergenceError("all photons would be background")
        _, canvas, probe = run_least_squares(model, canvas, probe * ((1 - share) / (1 - before)) ** 0.5, rounds)
        for _ in range(_NEWTON_STEPS):
            weights = weights + _find_newton_step(model, canvas, probe, waves)
            weights[0] = weights[0].clamp_min(LEAST_COUNTS)
            model.background = _make_background(model, waves, weights)
        reached = {"canvas": canvas, "probe": probe, "weights": weights}
        stage.reach(partial(dict, reached, share=share, rounds=number + 1))
    found = unwrap(_make_background(model, waves, weights)).cpu().numpy()
    mean = float(found.sum() / scan.good_pixels.sum())
    figures = {"counts": mean, "share": float(found.sum()) / photons}
    return CorrectedScan(replace(scan, background=found), figures, model.to_canvas(canvas))


def _make_cosines(side: int, order: int, device: torch.device) -> Tensor:
    """(wave, h, w) products of cosines over the detector, wrapped; the first is constant."""
    places = (torch.arange(side, device=device) + 0.5) / side
    lines = torch.stack([torch.cos(torch.pi * number * places) for number in range(order + 1)])
    pairs = [(row, column) for row in range(order + 1) for column in range(order + 1 - row)]
    return wrap(torch.stack([lines[row][:, None] * lines[column] for row, column in pairs]))


def _make_background(model: ScanModel, waves: Tensor, weights: Tensor) -> Tensor:
    """The sum of the waves on good pixels, above zero."""
    total = torch.einsum("k,khw->hw", weights, waves)
    return total.clamp_min(_LEAST_SHARE * float(weights[0])) * model.good


def _find_newton_step(model: ScanModel, canvas: Tensor, probe: Tensor, waves: Tensor) -> Tensor:
    """Change of the weights that maximises the likelihood of all patterns, to second order."""
    slope, curvature = sums = torch.zeros(2, *model.good.shape, device=model.device)
    for patterns in model.own.split(_BATCH):
        expected = model.expected(canvas, probe, patterns).clamp_min(LEAST_COUNTS)
        ratio, fitted = model.load_counts(patterns) / expected, model.fitted(patterns)
        slope += ((ratio - 1) * fitted).sum(0)
        curvature += (ratio / expected * fitted).sum(0)
    slope, curvature = model.ranks.sum(sums)
    vector = torch.einsum("khw,hw->k", waves, slope).double()
    matrix = torch.einsum("khw,hw,lhw->kl", waves, curvature, waves).double()
    damping = 1e-9 * matrix.trace() * torch.eye(len(waves), device=matrix.device)
    step: Tensor = torch.linalg.solve(matrix + damping, vector)
    return step.to(slope)
