"""Scans and settings before training: what the client's settings do to scans, and what the scans add to settings."""

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
from ptycho_torch.physics.ramp import phase_ramp, phase_slopes
from ptycho_torch.training.datamodule import ScanDataModule

_log = logging.getLogger(__name__)

_LEAST_PATTERNS = 2


@dataclass(frozen=True)
class PreparedTraining:
    """What to train on: all settings, the device, and the scans in groups."""

    experiment: Experiment
    device: torch.device
    data: ScanDataModule


def prepare(scans: Sequence[Scan], asked: ClientExperiment) -> tuple[list[Scan], Experiment]:
    """The part of each scan to train on, and the experiment completed by what the scans specify.

    The probe gets as many modes as the scans have, the warm-up is counted in steps, and the network has no more levels
    than the size of the patterns allows.

    Raises:
        DataError: a scan has no probe, or no labels although they are required.
    """
    settings, training = asked.experiment, asked.experiment.training
    seen = [select_within(scan, asked.x_bounds, asked.y_bounds, training.group_size) for scan in scans]
    for scan in seen:
        if training.target == "object" and scan.truth is None:
            raise DataError(
                f"{scan.name}: Supervised training takes its labels from objectGuess, which is constant; export a "
                "reconstructed object, or train Unsupervised"
            )
        if scan.probe is None:
            raise DataError(f"{scan.name}: lacks an initial probe; the client exports one as probeGuess")
    if asked.level_probe:
        seen = [replace(scan, probe=_remove_ramp(scan.known_probe())) for scan in seen]
    modes, patch_px = max(settings.refine.probe_modes, *(len(scan.known_probe()) for scan in seen)), seen[0].patch_px
    depth = min(settings.model.depth, _deepest(patch_px))
    if depth < settings.model.depth:
        _log.info("patterns of %d px can be halved %d times; the network gets as many levels", patch_px, depth)
    if asked.warmup_epochs:
        per_epoch = ScanDataModule(seen, training).steps_per_epoch
        training = replace(training, warmup_steps=asked.warmup_epochs * per_epoch)
    model, refine = replace(settings.model, depth=depth), replace(settings.refine, probe_modes=modes)
    return seen, replace(settings, model=model, training=training, refine=refine)


def _deepest(patch_px: int) -> int:
    """Levels of resolution that patterns of this size allow, at least four pixels at the lowest."""
    return next(depth for depth in range(6, 0, -1) if patch_px % 2**depth == 0 and patch_px // 2**depth >= 4)


def select_within(scan: Scan, x_bounds: Bounds, y_bounds: Bounds, least: int) -> Scan:
    """The patterns within fractions of the scan's extent; all patterns if fewer than `least` would remain."""
    low, extent = scan.positions_px.min(axis=0), np.ptp(scan.positions_px, axis=0)
    fraction = (scan.positions_px - low) / np.where(extent > 0, extent, 1)
    lower, upper = np.transpose([y_bounds, x_bounds])
    # a line of positions has no extent across it that could be bounded
    inside = np.all(((fraction >= lower) & (fraction <= upper)) | (extent == 0), axis=1)
    kept = int(inside.sum())
    if kept < max(least, _LEAST_PATTERNS):
        _log.warning(
            "%s: only %d of %d patterns lie within the bounds %s and %s; training uses all of them instead",
            *(scan.name, kept, len(scan), x_bounds, y_bounds),
        )
        return scan
    _log.info("%s: %d of %d patterns lie within the bounds and are used for training", scan.name, kept, len(scan))
    return scan.take(np.flatnonzero(inside))


def _remove_ramp(probe: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Remove the mean phase ramp of the first mode from a probe."""
    rows, columns = phase_slopes(torch.from_numpy(probe[0].copy()))
    levelled: NDArray[np.complex64] = probe * phase_ramp(probe.shape[1:], (-rows, -columns)).numpy()
    return levelled
