"""How far patterns lie from where the scan says: Gauss–Newton steps on amplitudes.

For a pattern with expected photons λ and measured ones n, a displacement ε of its position changes √λ by J·ε,

    J_a = Re Σ_m Ψ_m* F[∂P_m/∂δ_a · O] / √λ,    ε = (JᵀJ)⁻¹ Jᵀ(√n − √λ),

summed over the good pixels that are not held out. A step along the residual of the exit wave contains only half of what
is missing, since the phase at the detector is unknown; ε is the whole displacement where √λ is linear in it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ptycho_torch.physics.probe import differentiate_shift
from ptycho_torch.physics.propagate import propagate_wrapped
from ptycho_torch.solve.scan_model import ScanModel

_OFFSET_COUNTS = 0.1
_BATCH = 64
_LEAST_CURVATURE = 1e-3
_LOST = 1.5
_SPACING_PX = 1.5


def measure_displacements(model: ScanModel, canvas: Tensor, probe: Tensor) -> Tensor:
    """Displacement (pattern, 2) in pixels of each pattern, for an object and a wrapped probe.

    It is small where a pattern tells nothing of its position.
    """
    matrices, vectors = [], []
    for patterns in model.own.split(_BATCH):
        waves = model.waves(canvas, model.shifted(probe, patterns), patterns)
        root = (waves.expected + _OFFSET_COUNTS).sqrt()
        slopes = differentiate_shift(probe, model.shifts_px[patterns])
        changes = (propagate_wrapped(slope * waves.patches.unsqueeze(1)) for slope in slopes)
        jacobian = torch.stack([(waves.detector.conj() * change).real.sum(1) / root for change in changes], 1)
        fitted = model.fitted(patterns)
        residual = ((model.load_counts(patterns) + _OFFSET_COUNTS).sqrt() - root) * fitted
        jacobian = (jacobian * fitted.unsqueeze(1)).flatten(2)
        matrices.append(jacobian @ jacobian.mT)
        vectors.append(jacobian @ residual.flatten(1).unsqueeze(2))
    matrix, vector = (model.ranks.unite(torch.cat(parts).double(), len(model.scan)) for parts in (matrices, vectors))
    damping = _LEAST_CURVATURE * matrix.diagonal(dim1=1, dim2=2).mean()
    return torch.linalg.solve(matrix + damping * torch.eye(2, device=matrix.device), vector).squeeze(2)


def find_lost(
    model: ScanModel, canvas: Tensor, probe: Tensor, positions_px: Tensor, expected_px: Tensor, reach_px: float
) -> Tensor:
    """Positions (pattern, 2) with those replaced that a grid around the expected ones explains better.

    Only patterns with a misfit far above the median are searched for: steps from where they are led nowhere.
    The model's positions are those of the last trial afterwards.
    """
    misfits = _measure_misfits(model, canvas, probe, model.patterns)
    lost = (misfits > _LOST**2 * misfits.median()).nonzero().flatten()
    if len(lost) == 0:
        return positions_px
    found, least = positions_px.clone(), misfits[lost]
    for shift_px in _make_grid(reach_px):
        trial = positions_px.clone()
        trial[lost] = expected_px[lost] + shift_px.to(trial)
        model.move(trial)
        values = _measure_misfits(model, canvas, probe, lost)
        better = values < least
        found[lost[better]], least = trial[lost[better]], torch.minimum(values, least)
    return found


def _make_grid(reach_px: float) -> Iterator[Tensor]:
    """Displacements no longer than the reach."""
    steps = int(reach_px // _SPACING_PX)
    line = torch.arange(-steps, steps + 1, dtype=torch.float64) * _SPACING_PX
    grid = torch.cartesian_prod(line, line)
    yield from grid[grid.norm(dim=1) <= reach_px]


def _measure_misfits(model: ScanModel, canvas: Tensor, probe: Tensor, patterns: Tensor) -> Tensor:
    """Σ(√λ−√n)² / Σn of each pattern over its fitted pixels."""
    parts = []
    for part in model.ranks.share(patterns).split(_BATCH):
        counts = model.load_counts(part) * model.fitted(part)
        expected = model.expected(canvas, probe, part) * model.fitted(part)
        squared = (expected.sqrt() - counts.sqrt()).square().sum((1, 2))
        parts.append(squared / counts.sum((1, 2)).clamp_min(1))
    return model.ranks.unite(torch.cat(parts), len(patterns))
