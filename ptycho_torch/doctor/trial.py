"""Trial: a short reconstruction, judged by the pixels that it did not fit."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptycho_torch.config import RefineSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DivergenceError
from ptycho_torch.physics.losses import deviate_poisson
from ptycho_torch.physics.propagate import unwrap
from ptycho_torch.solve.least_squares import run_least_squares
from ptycho_torch.solve.scan_model import ScanModel

EPOCHS, LONG = 12, 40
MOST_PATTERNS = 121
_BATCHES = 8
# patterns nearer to each other than this share of their side see the same
_APART = 0.02
SETTINGS = RefineSettings(method="least_squares", held_out=0.05, batches=_BATCHES, probe_start=0.1)


@dataclass(frozen=True, eq=False)
class Trial:
    """A short reconstruction of a scan.

    Attributes:
        scan: what was reconstructed.
        deviance: (pattern,) Poisson deviance of the pixels that were not fitted.
        free_error: R over these pixels.
        unexplained: share of the differences between the patterns, less noise, that it leaves unexplained there; 1 is
            no better than the mean pattern.
        probe: (mode, h, w).
        image: (height, width) the object.
    """

    scan: Scan
    deviance: Tensor
    free_error: float
    unexplained: float
    probe: NDArray[np.complex64]
    image: NDArray[np.complex64]


def choose_middle(scan: Scan, most: int = MOST_PATTERNS) -> NDArray[np.int64]:
    """Indices of the patterns nearest to the middle of a scan, in their order; of those that see the same, one."""
    distance = np.linalg.norm(scan.positions_px - np.median(scan.positions_px, axis=0), axis=1)
    order = np.argsort(distance, kind="stable")
    # positions within a part of a patch may be in another unit
    if len(order) > most and np.ptp(scan.positions_px, axis=0).min() > scan.patch_px / 2:
        order = order[_take_apart(scan.positions_px[order], _APART * scan.patch_px, most)]
    return np.sort(order[:most])


def _take_apart(positions_px: NDArray[np.float64], least_px: float, most: int) -> list[int]:
    """Indices of the first positions (pattern, 2) that are so far from each other."""
    # one in each square of a lattice, so that few are left to compare
    squares = np.floor(positions_px / least_px).astype(np.int64)
    chosen: list[int] = []
    taken = np.full((most, 2), np.inf)
    for number in np.sort(np.unique(squares, axis=0, return_index=True)[1]).tolist():
        if len(chosen) == most:
            break
        if np.square(taken[: len(chosen)] - positions_px[number]).sum(axis=1).min(initial=np.inf) >= least_px**2:
            taken[len(chosen)] = positions_px[number]
            chosen.append(number)
    return chosen


@torch.no_grad()
def try_scan(scan: Scan, settings: RefineSettings = SETTINGS, epochs: int = EPOCHS) -> Trial:
    """Reconstruct a scan in some epochs of least squares from a flat object and its own probe.

    A reconstruction that diverges explains nothing.
    """
    model = ScanModel(scan, torch.device("cpu"), held_out_share=settings.held_out, seed=settings.seed)
    probe = model.start_probe(None, settings.probe_modes)
    try:
        _, canvas, probe = run_least_squares(
            model, model.start_object(None), probe, replace(settings, method="least_squares", epochs=epochs)
        )
    except DivergenceError:
        nothing = torch.full((len(scan),), math.inf, dtype=torch.float64)
        return Trial(scan, nothing, math.inf, math.inf, unwrap(probe).numpy(), model.start_object(None).numpy())
    index = model.held_out.index(model.patterns)
    expected = torch.cat([model.expected(canvas, probe, part) for part in model.patterns.split(64)])
    free = expected.flatten(1).gather(1, index)
    measured = model.load_counts(model.patterns)
    counts, mean = measured.flatten(1).gather(1, index), measured.mean(0).flatten()[index]
    drawn = torch.poisson(free, torch.Generator().manual_seed(settings.seed))
    deviance, floor, most = (
        deviate_poisson(*pair).double().sum(1) for pair in ((free, counts), (free, drawn), (mean, counts))
    )
    squared = (free.sqrt() - counts.sqrt()).square().sum()
    return Trial(
        scan,
        deviance,
        float(squared / counts.sum().clamp_min(1)) ** 0.5,
        float((deviance - floor).sum() / (most - floor).sum().clamp_min(1e-9)),
        unwrap(probe).numpy(),
        canvas.numpy(),
    )
