"""Does a network harm? Polish from its object and from empty space at equal epochs, objects like and unlike its own.

python tests/benchmarks/network_harm.py [CHECKPOINT]
"""

from __future__ import annotations

import sys
import tempfile
from itertools import product
from pathlib import Path

from report import header

from ptycho_torch.config import Experiment, RefineSettings, SimulationSettings, TrainingSettings
from ptycho_torch.models.checkpoint import TrainedNetwork, load_network
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.workflows.reconstruction import reconstruct_scan
from ptycho_torch.workflows.training import train_network

TRAINING_STEPS = 400
# name, kind, seed, side in pixels: the side is part of what an object is drawn from
OBJECTS = (
    ("own", "dead_leaves", 0, 320),
    ("same kind 1", "dead_leaves", 0, 192),
    ("same kind 2", "dead_leaves", 7, 192),
    ("lines", "lines", 7, 192),
    ("star", "siemens", 7, 192),
)
PHOTONS = (1e6, 1e4)
STEPS_PX = (6.0, 8.0, 12.0, 14.0)
EPOCHS = (5, 10, 30)


def main() -> None:
    """Print complex errors, R from the network over R from empty space, and which the result is."""
    header(f"a network trained for {TRAINING_STEPS} steps on dead leaves, 1e6 photons, steps of 8 px")
    network = load_network(sys.argv[1]) if len(sys.argv) > 1 else _trained()
    names = "".join(f"{name:>9}" for name in ("photons", "step px", "epochs", "network", "+ polish", "flat", "R ratio"))
    print(f"{'object':12}{names}  start")
    worst = 0.0
    for photons, step, (title, kind, seed, side_px) in product(PHOTONS, STEPS_PX, OBJECTS):
        scan = simulate_scan(
            SimulationSettings(object=kind, seed=seed, object_px=side_px, step_px=step, photons=photons)  # type: ignore[arg-type]
        )
        for epochs in EPOCHS:
            found = reconstruct_scan(network, scan, polish=RefineSettings(epochs=epochs), device="cpu")
            errors = [found.metrics[name]["complex_error"] for name in ("network", "network_polish", "flat_polish")]
            worst = max(worst, errors[1] / errors[2] if found.start == "network" else 1.0)
            errors.append(found.metrics["network_polish"]["R"] / found.metrics["flat_polish"]["R"])
            columns = "".join(f"{error:9.4f}" for error in errors)
            print(f"{title:12}{photons:9.0e}{step:9g}{epochs:9}{columns}  {found.start}", flush=True)
    print(f"the result's error is at most {worst:.3f} x that from empty space")


def _trained() -> TrainedNetwork:
    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment(training=TrainingSettings(steps=TRAINING_STEPS))
        result = train_network([simulate_scan(SimulationSettings())], Path(folder) / "network", experiment, track=False)
        return load_network(result.last)


if __name__ == "__main__":
    main()
