"""How do the networks compare: parameters, speed, and the object that they make of the scan that they are trained on?

python tests/benchmarks/networks.py [--object_px 320] [--cpu_seconds 60] [--steps 100] [--seeds 3]

Each network is trained from each seed for an equal processor time, and for an equal number of steps, with its default
settings and learning rate; the steps that fill the time are found from a short run before. Tables in Markdown.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from report import header
from similarity import compare

from ptycho_torch.config import Experiment, ModelSettings, SimulationSettings, TrainingSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.models.checkpoint import TrainedNetwork, load_network
from ptycho_torch.models.predict import Predictor
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.workflows.training import train_network

# the U-Net also with what the other networks see, to tell the network from its input
CONTENDERS = {
    "unet": ModelSettings(),
    "spectral": ModelSettings(network="spectral"),
    "transformer": ModelSettings(network="transformer"),
    "unet, update, 2 stages": ModelSettings(input="update", stages=2),
}
TRAINING = TrainingSettings(bootstrap_epochs=0, warmup_steps=10)
FIGURES = ("error", "amplitude", "phase")
_PROBING_STEPS = 8


def main() -> None:
    """Print the table of sizes and speeds, then those of quality."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--object_px", type=int, default=320)
    parser.add_argument("--cpu_seconds", type=float, default=60)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    scan = simulate_scan(SimulationSettings(object_px=arguments.object_px))
    header(f"{len(scan)} patterns of {scan.patch_px} px, dead leaves, {scan.photons_per_pattern:.0e} photons")
    print("| network | parameters | training, patterns per CPU s | inference, patterns per CPU s |\n|---|---|---|---|")
    costs = {name: _measure_speed(scan, name, model) for name, model in CONTENDERS.items()}
    steps = {name: (round(arguments.cpu_seconds / costs[name]), arguments.steps) for name in CONTENDERS}
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    # seed after seed, so that a run that is cut short has compared all networks
    for seed, name, limit in product(range(arguments.seeds), CONTENDERS, range(2)):
        figures = _measure_quality(scan, CONTENDERS[name], steps[name][limit], seed)
        found.setdefault((name, limit), []).append(figures)
        values = ", ".join(f"{figure} {value:.3f}" for figure, value in figures.items())
        print(f"seed {seed}, {name}, {steps[name][limit]} steps: {values}", file=sys.stderr, flush=True)
    for limit, title in enumerate((f"{arguments.cpu_seconds:g} CPU s", f"{arguments.steps} steps")):
        print(f"\n| {title} | steps | {' | '.join(FIGURES)} |\n|---|---{'|---' * len(FIGURES)}|")
        for name in CONTENDERS:
            cells = [_spread([figures[figure] for figures in found[name, limit]]) for figure in FIGURES]
            print(f"| {name} | {steps[name][limit]} | {' | '.join(cells)} |")


def _measure_speed(scan: Scan, name: str, model: ModelSettings) -> float:
    """Print a row and return the processor time of a training step in seconds."""
    network, started = _train(scan, model, 1, 0), time.process_time()
    _train(scan, model, 1, 0)
    once, started = time.process_time() - started, time.process_time()
    _train(scan, model, 1 + _PROBING_STEPS, 0)
    step = (time.process_time() - started - once) / _PROBING_STEPS
    predictor, part = _make_predictor(scan, network), np.arange(64)
    predictor.predict_patches(scan, part)
    started = time.process_time()
    predictor.predict_patches(scan, part)
    inference = len(part) / (time.process_time() - started)
    size = sum(weight.numel() for weight in network.generator.parameters())
    rate = TRAINING.batch_size * TRAINING.group_size / step
    print(f"| {name} | {size / 1e6:.2f} million | {rate:.0f} | {inference:.0f} |", flush=True)
    return step


def _measure_quality(scan: Scan, model: ModelSettings, steps: int, seed: int) -> dict[str, float]:
    network = _train(scan, model, steps, seed)
    return compare(scan, _make_predictor(scan, network).predict(scan, 64).canvas)


def _train(scan: Scan, model: ModelSettings, steps: int, seed: int) -> TrainedNetwork:
    experiment = Experiment(model=model, training=replace(TRAINING, steps=steps, seed=seed))
    with tempfile.TemporaryDirectory() as folder:
        return load_network(train_network([scan], Path(folder) / "run", experiment, track=False, device="cpu").last)


def _make_predictor(scan: Scan, network: TrainedNetwork) -> Predictor:
    return Predictor(network.generator, network.probes[0], scan.sample_photons_per_pattern, torch.device("cpu"))


def _spread(values: list[float]) -> str:
    """The middle value and the two at the ends."""
    return f"{np.median(values):.3f} ({min(values):.3f}–{max(values):.3f})"


if __name__ == "__main__":
    main()
