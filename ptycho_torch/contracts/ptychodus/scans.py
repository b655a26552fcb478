"""Scans of the client: what its settings do to them before training, and the array that it expects of a reconstruction.

The client calls (N − 1) / 2 the middle of an array, of probes and objects alike; in this package it is N // 2. The
client's positions are in pixels of an object array whose size and centre it does not send, and it shows the result with
its middle on that object's centre, which is the middle of the scan.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.config import DataSettings, Experiment
from ptycho_torch.contracts.ptychodus.settings import Bounds, ClientExperiment
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.make_scan import make_scan
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError
from ptycho_torch.formats.ptychodus_product import half_pixel
from ptycho_torch.physics.ramp import measure_phase_slopes, remove_phase_ramp
from ptycho_torch.training.datamodule import ScanDataModule

_log = logging.getLogger(__name__)

# the client centres its patterns, but does not say whether they are counts or amplitudes
READING = DataSettings(zero_frequency="centre")
_LEAST_PATTERNS = 2
_WHOLE_WITHIN_PX = 1e-4


@dataclass(frozen=True)
class ClientScan:
    """A scan to reconstruct and the array that the client expects: all patches, its middle on the middle of the scan.

    Attributes:
        scan: its positions are those on the array.
        shape_px: height and width of the array, the size that the client itself gives to the object of such a scan.
    """

    scan: Scan
    shape_px: tuple[int, int]

    @classmethod
    def from_arrays(
        cls,
        patterns: NDArray[Any],
        probe: NDArray[Any] | None,
        client_px: NDArray[np.float64],
        stored_as: str = "counts",
    ) -> Self:
        """Make a scan from the client's arrays.

        Args:
            patterns: (pattern, N, N) counts, zero frequency at [N//2, N//2].
            probe: (mode, N, N) probe to compare with the one that training found, or None.
            client_px: (pattern, 2) row and column in pixels of the client's object array.
            stored_as: the meaning of floats that are not whole numbers, `counts` or `amplitude`, as in training.

        Raises:
            DataError: the arrays do not make a scan.
        """
        name, patterns = "the scan", np.asarray(patterns)
        client_px = np.asarray(client_px, np.float64).reshape(-1, 2)
        check_patterns(name, min(len(patterns), len(client_px)))
        if not np.isfinite(client_px).all():
            raise DataError(f"{name}: positions contain NaN or infinite values")
        shape_px, offset_px = place_array(client_px, patterns.shape[-1])
        scan = make_scan(
            name=name,
            stored=patterns,
            positions_px=client_px + offset_px,
            settings=replace(READING, units="counts" if stored_as == "counts" else "auto"),
            probe=None if probe is None else np.asarray(probe),
        )
        return cls(scan, shape_px)

    def cut(self, canvas: Canvas) -> NDArray[np.complex64]:
        """The part of a canvas on the client's array; ones outside the canvas."""
        return canvas.cut_window((0.0, 0.0), self.shape_px)


def place_array(client_px: NDArray[np.float64], patch_px: int) -> tuple[tuple[int, int], NDArray[np.float64]]:
    """The shape of the client's object array for its positions (pattern, 2), and their offset on that array.

    If the scan lies in the middle of the client's array, the size is twice the scan's middle plus one, padding
    included; otherwise it is the size that the client chooses without padding.
    """
    low, high = client_px.min(axis=0), client_px.max(axis=0)
    # positions were converted to metres and back: a whole extent must not become a pixel more
    least = np.ceil(np.round(high - low + patch_px, 6)).astype(int)
    stated = low + high + 1
    nearest = np.round(stated).astype(int)
    centred = (np.abs(stated - nearest) < _WHOLE_WITHIN_PX) & (nearest >= least) & (nearest <= least + patch_px)
    shape = nearest if centred.all() else least
    height, width = shape.tolist()
    return (height, width), (shape - 1) / 2 - (low + high) / 2 + half_pixel(patch_px)


def check_patterns(name: str, patterns: int) -> None:
    """Raise DataError if a scan has too few patterns."""
    if patterns < _LEAST_PATTERNS:
        raise DataError(f"{name}: has {patterns} pattern{'' if patterns == 1 else 's'}; at least two must overlap")


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
        seen = [replace(scan, probe=_remove_ramp(scan.require_probe())) for scan in seen]
    modes, patch_px = max(settings.refine.probe_modes, *(len(scan.require_probe()) for scan in seen)), seen[0].patch_px
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
    modes = torch.from_numpy(probe.copy())
    levelled: NDArray[np.complex64] = remove_phase_ramp(modes, measure_phase_slopes(modes[0])).numpy()
    return levelled
