"""What the client's settings do to scans before training, and what only the scans tell the settings."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.config import Experiment
from ptycho_torch.contracts.ptychodus.translate import Bounds, ClientExperiment
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError
from ptycho_torch.physics.ramp import measure_phase_slopes, remove_phase_ramp
from ptycho_torch.training.datamodule import ScanDataModule

_log = logging.getLogger(__name__)

_LEAST_PATTERNS = 2


@dataclass(frozen=True)
class PreparedTraining:
    """What to train on: the scans as training sees them, all settings, the device, and the groups of patterns."""

    scans: list[Scan]
    experiment: Experiment
    device: torch.device
    data: ScanDataModule


def prepare(scans: Sequence[Scan], asked: ClientExperiment) -> tuple[list[Scan], Experiment]:
    """The part of each scan that training sees, and the experiment completed by what the scans tell.

    As many probe modes are refined as the scans bring, the warm-up is counted in steps, and the network has no more
    levels than the patterns allow.

    Raises:
        DataError: a scan has no probe, or no labels where they are needed.
    """
    group = asked.experiment.training.group_size
    seen = [_labelled(within_bounds(scan, asked.x_bounds, asked.y_bounds, group), asked) for scan in scans]
    settings, training = asked.experiment, asked.experiment.training
    modes = max(settings.refine.probe_modes, *(len(scan.probe) for scan in seen if scan.probe is not None))
    model = replace(settings.model, depth=min(settings.model.depth, _deepest(seen[0].patch_px)))
    if model.depth < settings.model.depth:
        _log.info(
            "patterns of %d px can be halved %d times; the network gets as many levels", seen[0].patch_px, model.depth
        )
    if asked.warmup_epochs:
        per_epoch = ScanDataModule(seen, training).steps_per_epoch
        training = replace(training, warmup_steps=asked.warmup_epochs * per_epoch)
    refine = replace(settings.refine, probe_modes=modes)
    return seen, replace(settings, model=model, training=training, refine=refine)


def _deepest(patch_px: int) -> int:
    """Levels of resolution that patterns of this size allow, four pixels at the lowest."""
    return next(depth for depth in range(6, 0, -1) if patch_px % 2**depth == 0 and patch_px // 2**depth >= 4)


def within_bounds(scan: Scan, x_bounds: Bounds, y_bounds: Bounds, least: int) -> Scan:
    """The patterns within shares of the scan's extent; all of them where fewer than `least` would be left."""
    low, extent = scan.positions_px.min(axis=0), np.ptp(scan.positions_px, axis=0)
    share = (scan.positions_px - low) / np.where(extent > 0, extent, 1)
    least_share, most_share = np.transpose([y_bounds, x_bounds])
    # a line of positions has no extent across it that could be bounded
    inside = np.all(((share >= least_share) & (share <= most_share)) | (extent == 0), axis=1)
    kept = int(inside.sum())
    if kept < max(least, _LEAST_PATTERNS):
        _log.warning(
            "%s: only %d of %d patterns lie within the bounds %s and %s; training sees all of them instead",
            scan.name,
            kept,
            len(scan),
            x_bounds,
            y_bounds,
        )
        return scan
    _log.info("%s: %d of %d patterns lie within the bounds and are trained on", scan.name, kept, len(scan))
    return scan.take(np.flatnonzero(inside))


def _labelled(scan: Scan, asked: ClientExperiment) -> Scan:
    if asked.experiment.training.target == "object" and scan.truth is None:
        raise DataError(
            f"{scan.name}: Supervised training takes its labels from objectGuess, which is the same everywhere; "
            "export a reconstructed object, or train Unsupervised"
        )
    if scan.probe is None:
        raise DataError(f"{scan.name}: there is no probe to start from; the client exports one as probeGuess")
    return replace(scan, probe=_levelled(scan.probe)) if asked.level_probe else scan


def _levelled(probe: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """A probe without the mean phase ramp of its first mode."""
    modes = torch.from_numpy(probe.copy())
    levelled: NDArray[np.complex64] = remove_phase_ramp(modes, measure_phase_slopes(modes[0])).numpy()
    return levelled
