"""A whole simulated scan from an object, a probe, a path and a photon budget."""

from __future__ import annotations

import numpy as np
import torch

from ptycho_torch.config.schema import SimulationSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ConfigError
from ptycho_torch.physics.forward import expected_counts
from ptycho_torch.physics.noise import draw_counts
from ptycho_torch.physics.patches import gather, patch_index
from ptycho_torch.physics.probe import shift_probe
from ptycho_torch.simulate.objects import OBJECTS, transmission
from ptycho_torch.simulate.positions import PATHS
from ptycho_torch.simulate.probes import PROBES

_BATCH = 64


def simulate_scan(settings: SimulationSettings) -> Scan:
    """Simulate a scan; the same settings give the same scan.

    The truth's pixel [0, 0] lies at position (0, 0). `photons` is the mean over the patterns before noise is drawn.

    Raises:
        ConfigError: the object is too small to be scanned with patterns of this size.
    """
    object_rng, path_rng, noise_rng = (np.random.default_rng(s) for s in np.random.SeedSequence(settings.seed).spawn(3))
    side, patch = settings.object_px, settings.patch_px
    truth = Canvas(transmission(OBJECTS[settings.object]((side, side), object_rng)))
    extent = (side - patch) / 2 - 1
    if extent < settings.step_px:
        raise ConfigError(
            f"SimulationSettings.object_px is {side}; with patterns of {patch} px and steps of {settings.step_px:g} px "
            f"at least {patch + 2 * int(np.ceil(settings.step_px)) + 2} is needed"
        )
    middle = extent + patch // 2 + 1
    positions = PATHS[settings.path](extent, settings.step_px, path_rng) + middle
    probe = torch.from_numpy(PROBES[settings.probe](patch, settings.probe_diameter_px))
    expected = _expected(truth, positions, probe)
    scale = settings.photons / float(expected.sum(dim=(1, 2)).mean())
    generator = torch.Generator().manual_seed(int(noise_rng.integers(2**63)))
    return Scan(
        counts=draw_counts(expected * scale, generator).numpy(),
        positions_px=positions,
        probe=(probe * scale**0.5).numpy(),
        truth=truth,
        name=f"simulated {settings.object}",
    )


def _expected(truth: Canvas, positions_px: np.ndarray, probe: torch.Tensor) -> torch.Tensor:
    patch = probe.shape[-1]
    corners = np.round(positions_px).astype(np.int64) - patch // 2
    shifts = torch.from_numpy((positions_px - np.round(positions_px)).astype(np.float32))
    canvas = torch.from_numpy(truth.pixels)
    batches = []
    for start in range(0, len(positions_px), _BATCH):
        part = slice(start, start + _BATCH)
        index = patch_index(torch.from_numpy(corners[part]), patch, canvas.shape[1])
        batches.append(expected_counts(gather(canvas, index, patch), shift_probe(probe, shifts[part])))
    return torch.cat(batches)
