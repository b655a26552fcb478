"""A simulated scan from an object, a probe, a path and a dose."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.config import SimulationSettings
from ptycho_torch.data.canvas import Canvas, Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ConfigError
from ptycho_torch.physics.background import add_background
from ptycho_torch.physics.forward import expect_counts
from ptycho_torch.physics.noise import draw_counts
from ptycho_torch.physics.patches import gather, index_patches
from ptycho_torch.physics.probe import shift_probe
from ptycho_torch.simulate.objects import OBJECTS, make_transmission
from ptycho_torch.simulate.positions import PATHS, find_extent
from ptycho_torch.simulate.probes import PROBES

_BATCH = 64


def simulate_scan(settings: SimulationSettings, probe: NDArray[np.complex64] | None = None) -> Scan:
    """Simulate a scan; the same settings and the same probe give the same scan.

    Pixel [0, 0] of the true object lies at position (0, 0). `photons` is the mean over the patterns of what passed the
    sample, before noise is drawn; `background_counts` are added to it and stored in the scan.

    Args:
        settings: object, path, dose and, without a given probe, the probe.
        probe: (mode, h, w) probe in any unit, h = w = `patch_px`; None for the one of the settings.

    Raises:
        ConfigError: the object is too small for patterns of this size, or the probe has another size.
    """
    object_rng, path_rng, noise_rng = (np.random.default_rng(s) for s in np.random.SeedSequence(settings.seed).spawn(3))
    side, patch = settings.object_px, settings.patch_px
    truth = Canvas(make_transmission(OBJECTS[settings.object]((side, side), object_rng)))
    extent = find_extent(settings)
    middle = extent + patch // 2 + 1
    positions = PATHS[settings.path](extent, settings.step_px, path_rng) + middle
    if probe is not None and probe.shape[1:] != (patch, patch):
        raise ConfigError(f"SimulationSettings.patch_px is {patch}; the probe has shape {probe.shape}")
    own = PROBES[settings.probe](patch, settings.probe_diameter_px) if probe is None else probe.astype(np.complex64)
    modes = torch.from_numpy(own)
    expected = _expect_patterns(truth, positions, modes)
    scale = settings.photons / float(expected.sum(dim=(1, 2)).mean())
    level = settings.background_counts
    background = torch.full((patch, patch), level) if level else None
    generator = torch.Generator().manual_seed(int(noise_rng.integers(2**63)))
    return Scan(
        counts=draw_counts(add_background(expected * scale, background), generator).numpy(),
        positions_px=positions,
        probe=(modes * scale**0.5).numpy(),
        background=None if background is None else background.numpy(),
        truth=truth,
        name=f"simulated {settings.object}",
    )


def _expect_patterns(truth: Canvas, positions_px: NDArray[np.float64], probe: torch.Tensor) -> torch.Tensor:
    frame = Frame(positions_px, probe.shape[-1])
    canvas = torch.from_numpy(frame.cut_from(truth))
    corners, shifts = torch.from_numpy(frame.corners_px), torch.from_numpy(frame.shifts_px)
    batches = []
    for corners_px, shifts_px in zip(corners.split(_BATCH), shifts.split(_BATCH), strict=True):
        patches = gather(canvas, index_patches(corners_px, frame.patch_px, canvas.shape[1]), frame.patch_px)
        batches.append(expect_counts(patches, shift_probe(probe, shifts_px)))
    return torch.cat(batches)
