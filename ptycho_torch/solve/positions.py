"""Refinement of the positions: of each, or of their common scale, rotation and shear."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptycho_torch.config import RefineSettings
from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.runtime.ranks import Ranks
from ptycho_torch.runtime.saved_state import UNSAVED, Stage
from ptycho_torch.solve.corrected_scan import CorrectedScan
from ptycho_torch.solve.displacements import find_lost, measure_displacements
from ptycho_torch.solve.least_squares import run_least_squares
from ptycho_torch.solve.scan_model import ScanModel
from ptycho_torch.solve.solver import read_tensors

_MOST_ROUNDS = 30
_EPOCHS_PER_ROUND = 6
_SMALL_STEP_PX = 0.004
_LONGEST_STEP_PX = 1.0
# the object follows positions that are stretched together, so that steps see a small part of what is missing
_AFFINE_GAIN = 5.0
_AFFINE_FROM = 3
# and follows other smooth displacements too: steps in the same direction become longer
_MOMENTUM, _MOMENTUM_FROM = 0.4, 4
_ROUNDS_PER_SEARCH = 2
_SEARCH_PX = 12.0


@dataclass(frozen=True)
class Affine:
    """What a linear map of positions does to them.

    Attributes:
        scale: mean magnification.
        rotation_deg: rotation from the row axis towards the column axis.
        shear: stretch along one direction against the direction across, relative.
    """

    scale: float
    rotation_deg: float
    shear: float

    @classmethod
    def between(cls, before_px: NDArray[np.float64], after_px: NDArray[np.float64]) -> Affine:
        """The map that takes positions (pattern, 2) closest to others, up to a common displacement."""
        first, second = before_px - before_px.mean(0), after_px - after_px.mean(0)
        # positions in one line tell nothing of the direction across, where the map is then that of no change
        matrix = np.eye(2) + np.linalg.lstsq(first, second - first, rcond=None)[0]
        left, stretches, right = np.linalg.svd(matrix)
        turn = left @ right
        angle = np.degrees(np.arctan2(turn[0, 1], turn[0, 0]))
        return cls(float(stretches.mean()), float(angle), float((stretches[0] - stretches[1]) / stretches.mean()))


@torch.no_grad()
def refine_positions(
    scan: Scan, settings: RefineSettings, device: torch.device, ranks: Ranks, stage: Stage = UNSAVED
) -> CorrectedScan:
    """Refine the positions of a scan, starting from a flat object.

    A few epochs of least squares without momentum from earlier ones alternate with a step of the positions. The mean
    position stays in the end, since a common displacement only moves the object; in between it is free, since an
    object that was found in another place would hold all patterns there.

    Args:
        scan: patterns, positions and probe.
        settings: `refine_positions` is `affine` or `each`, with `position_limit_px`.
        device: where to compute.
        ranks: the place of this process; all of them must call this.
        stage: where rounds are saved, and from which the next one goes on.

    Returns:
        The scan with other positions, and figures: displacement in pixels, scale, rotation and shear.

    Raises:
        DivergenceError: values became non-finite.
    """
    limit_px = settings.position_limit_px
    reach_px = min(_SEARCH_PX, limit_px)
    given = torch.from_numpy(scan.positions_px.copy())
    margin_px = math.ceil(limit_px + reach_px) + 1
    model = ScanModel(scan, device, ranks, held_out_share=settings.held_out, seed=settings.seed, margin_px=margin_px)
    canvas, probe, positions = model.start_object(None), model.start_probe(None, settings.probe_modes), given
    rounds = replace(settings, method="least_squares", epochs=_EPOCHS_PER_ROUND)
    moves, start = torch.zeros_like(given), 0
    like = {"canvas": canvas, "probe": probe, "positions_px": given, "moves_px": moves}
    saved = stage.load(lambda values: (read_tensors(values, like), int(values["rounds"])))
    if saved:
        (canvas, probe, positions, moves), start = saved
        model.move(positions)
    for number in range(start, _MOST_ROUNDS):
        _, canvas, probe = run_least_squares(model, canvas, probe, rounds)
        if settings.refine_positions == "each" and number and number % _ROUNDS_PER_SEARCH == 0:
            # where the other patterns let expect them
            expected = _limit(given + _find_affine(positions - given, given), given, limit_px)
            found = _limit(find_lost(model, canvas, probe, positions, expected, reach_px), given, limit_px)
            model.move(found)
            moves[(found != positions).any(1)] = 0
            positions = found
        steps = measure_displacements(model, canvas, probe).cpu()
        steps = steps * (_LONGEST_STEP_PX / steps.norm(dim=1, keepdim=True)).clamp_max(1)
        steps = _strengthen(steps, positions, settings.refine_positions == "affine", number)
        moves = steps + (_MOMENTUM * moves if number >= _MOMENTUM_FROM else 0)
        positions = _limit(positions + moves, given, limit_px)
        model.move(positions)
        if moves.norm(dim=1).median() < _SMALL_STEP_PX:
            break
        reached = {"canvas": canvas, "probe": probe, "positions_px": positions, "moves_px": moves}
        stage.reach(partial(dict, reached, rounds=number + 1))
    positions = _limit(positions - (positions - given).mean(0), given, limit_px)
    refined = positions.numpy()
    moved = np.linalg.norm(refined - scan.positions_px, axis=1)
    affine = Affine.between(scan.positions_px, refined)
    figures = {
        "displacement_px": float((moved**2).mean() ** 0.5),
        "largest_displacement_px": float(moved.max()),
        "scale": affine.scale,
        "rotation_deg": affine.rotation_deg,
        "shear": affine.shear,
    }
    truth = cover_truth(scan.truth, refined, scan.patch_px)
    return CorrectedScan(replace(scan, positions_px=refined, truth=truth), figures)


def cover_truth(truth: Canvas | None, positions_px: NDArray[np.float64], patch_px: int) -> Canvas | None:
    """The true object, with vacuum around it if patches at these positions extend beyond it."""
    if truth is None or truth.has_patches(positions_px, patch_px).all():
        return truth
    frame = Frame(positions_px, patch_px)
    return Canvas(frame.cut_from(truth), frame.origin_px, truth.pixel_m)


def _strengthen(steps: Tensor, positions_px: Tensor, affine_only: bool, number: int) -> Tensor:
    """Steps with their affine part multiplied; only that part if asked."""
    affine = _find_affine(steps, positions_px)
    gain = _AFFINE_GAIN if number >= _AFFINE_FROM else 1.0
    return gain * affine if affine_only else steps + (gain - 1) * affine


def _find_affine(values: Tensor, positions_px: Tensor) -> Tensor:
    """The part of some values (pattern, 2) that depends on the positions linearly, with their mean."""
    offsets = positions_px - positions_px.mean(0)
    terms = torch.cat([offsets, torch.ones(len(offsets), 1, dtype=offsets.dtype)], 1)
    affine: Tensor = terms @ torch.linalg.lstsq(terms, values, driver="gelsd").solution
    return affine


def _limit(positions_px: Tensor, given_px: Tensor, limit_px: float) -> Tensor:
    """Positions at most so far from the given ones."""
    moved = positions_px - given_px
    return given_px + moved * (limit_px / moved.norm(dim=1, keepdim=True)).clamp_max(1)
