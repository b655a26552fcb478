"""Small scans for several tests; this file loads without torch, since some tests of its folder run without it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy_samples import LOPSIDED, compact_probe
from torch_optional import TORCH

from ptycho_torch.config import SimulationSettings
from ptycho_torch.data.scan import Scan


@pytest.fixture(scope="session")
def simulation() -> SimulationSettings:
    """49 patterns of 32 px, which a solver reconstructs in about a second."""
    return SimulationSettings(
        object="dead_leaves",
        object_px=64,
        patch_px=32,
        probe="gaussian",
        probe_diameter_px=8,
        step_px=4,
        photons=1e6,
        seed=3,
    )


@pytest.fixture(scope="session")
def small_scan(simulation: SimulationSettings) -> Scan:
    if not TORCH:
        pytest.skip("torch is not installed")
    # not at the top, so that modules of this folder that need no torch are collected without it
    from ptycho_torch.simulate.scan import simulate_scan  # noqa: PLC0415

    return simulate_scan(simulation)


@pytest.fixture(scope="session")
def lopsided_scan() -> Scan:
    """Noise-free patterns of a sample without symmetry, computed without the package, at sub-pixel positions."""
    rng = np.random.default_rng(5)
    grid = np.stack(np.meshgrid(np.arange(15, 33, 3.0), np.arange(17, 35, 3.0), indexing="ij"), axis=-1).reshape(-1, 2)
    positions = grid + rng.uniform(-1, 1, grid.shape)
    probe = compact_probe(24, photons=1e6)
    counts = np.array([LOPSIDED.pattern(probe, position) for position in positions])
    return Scan(
        counts=counts.astype(np.float32), positions_px=positions, probe=probe.astype(np.complex64), name="lopsided"
    )


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)
