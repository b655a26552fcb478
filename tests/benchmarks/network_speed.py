"""How many patterns a second does the default network train on and infer, with merging and stitching?

For comparison, published PtychoPINN in PyTorch on two cores: 16-19 patterns/s sustained in training, 27 at best;
31-42 in inference (patterns of 64 px, its defaults).
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch
from report import header

from ptycho_torch.config import Experiment, SimulationSettings, TrainingSettings
from ptycho_torch.models.checkpoint import load_network
from ptycho_torch.models.predict import Predictor
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.workflows.training import train_network

TRAINING_PEER, INFERENCE_PEER = (16, 19), (31, 42)


def main() -> None:
    """Print both rates and how many times the quoted ones they are."""
    header("default network, 64 px, float32")
    scan = simulate_scan(SimulationSettings())
    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment(training=TrainingSettings(steps=120, bootstrap_epochs=0))
        trained = train_network([scan], Path(folder) / "run", experiment)
        network = load_network(trained.last)
    predictor = Predictor(network.generator, network.probes[0], scan.photons_per_pattern, torch.device("cpu"))
    predictor.predict(scan.take(slice(0, 128)), 64)
    started = time.perf_counter()
    predictor.predict(scan, 64)
    inference = len(scan) / (time.perf_counter() - started)
    parameters = sum(parameter.numel() for parameter in network.generator.parameters())
    print(f"{parameters} parameters")
    for name, rate, peer in (
        ("training", trained.patterns_per_second, TRAINING_PEER),
        ("inference with stitching", inference, INFERENCE_PEER),
    ):
        print(
            f"{name}: {rate:.0f} patterns/s, {rate / peer[1]:.0f}-{rate / peer[0]:.0f} x the quoted {peer[0]}-{peer[1]}"
        )


if __name__ == "__main__":
    main()
