"""Networks of a second's work: trained on nothing, or for a few steps on a small scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ptycho_torch.config import Experiment, ModelSettings, SimulationSettings, TrainingSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.models.bundle import save_bundle
from ptycho_torch.models.checkpoint import TrainedNetwork
from ptycho_torch.networks.build import build_network
from ptycho_torch.simulate.scan import simulate_scan


def simulate_small(seed: int = 0, photons: float = 1e5) -> Scan:
    """A scan of some thirty patterns of 32 px."""
    return simulate_scan(SimulationSettings(object_px=96, patch_px=32, step_px=6.0, photons=photons, seed=seed))


def make_network(seed: int, scale: float = 0.05) -> TrainedNetwork:
    """A network with random weights, whose outputs stray from vacuum the more the larger the weights are."""
    experiment = Experiment(model=ModelSettings(width=4, depth=1), training=TrainingSettings(seed=seed))
    generator = build_network(experiment, 32)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in generator.parameters():
            weight.normal_(std=scale, generator=random)
    scan = simulate_small()
    assert scan.probe is not None
    good = np.ones((1, 32, 32), bool)
    return TrainedNetwork(generator.eval(), experiment, 32, scan.probe[None], (1e5,), good, seed)


def write_network(folder: Path, seed: int, scale: float = 0.05) -> Path:
    """Write such a network as a bundle, with parameters that name places as those of a training do."""
    places = {"N": 32, "output_dir": str(folder / "private"), "train_data_file": str(folder / "secret.npz")}
    return save_bundle(make_network(seed, scale), folder / f"network{seed}.zip", places, overwrite=True)
