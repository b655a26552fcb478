"""Drift of scans that a trained network did not see: false alarms of clean ones, detection of shifts, and their error.

A network is trained on eight simulated scans, which are also the reference. Clean scans differ from them by their
object and noise alone. Each shift is one that a beamline sees; whether it matters is decided by the network's true
error on scans with it, which the check does not know: it matters if that grows by more than 20 %.

    python tests/benchmarks/drift.py [CLEAN SCANS] [SCANS OF EACH SHIFT]
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from report import header
from scipy.ndimage import gaussian_filter

from ptycho_torch.config import DriftSettings, Experiment, ModelSettings, SimulationSettings, TrainingSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.drift.features import measure_features
from ptycho_torch.drift.judgement import Judgement, judge
from ptycho_torch.drift.reference import Reference
from ptycho_torch.evaluate.scores import evaluate
from ptycho_torch.models.checkpoint import TrainedNetwork, load_network
from ptycho_torch.models.predict import Predictor
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.workflows.training import train_network

STEPS = 500
TRAINED_ON = 8
TRUE_ERRORS = 20
CPU = torch.device("cpu")
MATTERS = 1.2


def simulate(seed: int, **changed: Any) -> Scan:
    usual: dict[str, Any] = {"object_px": 128, "patch_px": 32, "probe": "gaussian", "probe_diameter_px": 12.0}
    return simulate_scan(SimulationSettings(seed=seed, **{**usual, "step_px": 5.0, "photons": 1e5, **changed}))


def change_counts(seed: int, change: Callable[[Any], Any]) -> Scan:
    """A scan whose patterns are changed after they were recorded."""
    scan = simulate(seed)
    return replace(scan, counts=np.ascontiguousarray(change(np.asarray(scan.counts)), np.float32))


def add_background(seed: int, photons: float) -> Scan:
    draw = np.random.default_rng(seed)
    return change_counts(seed, lambda counts: counts + draw.poisson(photons, counts.shape))


SHIFTS: dict[str, Callable[[int], Scan]] = {
    "twice the dose": lambda seed: simulate(seed, photons=2e5),
    "half the dose": lambda seed: simulate(seed, photons=5e4),
    "a tenth of the dose": lambda seed: simulate(seed, photons=1e4),
    "a hundredth of the dose": lambda seed: simulate(seed, photons=1e3),
    "steps of 6 px": lambda seed: simulate(seed, step_px=6.0),
    "spiral": lambda seed: simulate(seed, path="spiral"),
    "lines": lambda seed: simulate(seed, object="lines"),
    "Siemens star": lambda seed: simulate(seed, object="siemens"),
    "probe of 11.5 px": lambda seed: simulate(seed, probe_diameter_px=11.5),
    "probe of 10 px": lambda seed: simulate(seed, probe_diameter_px=10.0),
    "probe of 15 px": lambda seed: simulate(seed, probe_diameter_px=15.0),
    "zone plate": lambda seed: simulate(seed, probe="zone_plate"),
    "centre by 1 px": lambda seed: change_counts(seed, lambda counts: np.roll(counts, 1, 1)),
    "centre by 2 px": lambda seed: change_counts(seed, lambda counts: np.roll(counts, 2, 1)),
    "transposed": lambda seed: change_counts(seed, lambda counts: counts.swapaxes(1, 2)),
    "blur of 0.5 px": lambda seed: change_counts(seed, lambda counts: gaussian_filter(counts, (0, 0.5, 0.5))),
    "blur of 1 px": lambda seed: change_counts(seed, lambda counts: gaussian_filter(counts, (0, 1, 1))),
    "background of 0.1": lambda seed: add_background(seed, 0.1),
    "background of 3": lambda seed: add_background(seed, 3),
    "background of 30": lambda seed: add_background(seed, 30),
}


def measure_error(network: TrainedNetwork, scan: Scan) -> float:
    """The network's true complex error."""
    probe = network.probes[0]
    found = Predictor(network.generator, probe, scan.sample_photons_per_pattern, CPU).predict(scan, 64)
    return evaluate(scan, found.canvas, probe, device=CPU)["complex_error"]


def main(clean: int, shifted: int) -> int:
    header(f"a network of {STEPS} steps on {TRAINED_ON} scans of 32 x 32 px, 1e5 photons, which are the reference")
    experiment = Experiment(
        model=ModelSettings(width=12, depth=2), training=TrainingSettings(steps=STEPS, batch_size=16)
    )
    scans = [simulate(seed) for seed in range(TRAINED_ON)]
    with tempfile.TemporaryDirectory() as folder:
        network = load_network(train_network(scans, Path(folder) / "network", experiment, track=False).last)
    reference = Reference.of("benchmark", [measure_features(network, scan, CPU) for scan in scans])
    settings = DriftSettings()

    def check(make: Callable[[int], Scan], count: int) -> list[Judgement]:
        return [judge(reference, measure_features(network, make(1000 + seed), CPU), settings) for seed in range(count)]

    error = float(np.mean([measure_error(network, simulate(1000 + seed)) for seed in range(TRUE_ERRORS)]))
    print(f"true error of clean scans {error:.3f}", flush=True)
    print(f"{'shift':26}{'true error':>11}{'estimate':>10}{'drift':>8}{'harmless':>10}{'as before':>11}")
    problems = []
    for name, make in {"clean": simulate, **SHIFTS}.items():
        found = check(make, clean if name == "clean" else shifted)
        counts = Counter(judgement.word for judgement in found)
        true = float(np.mean([measure_error(network, make(1000 + seed)) for seed in range(TRUE_ERRORS)])) / error
        estimate = float(np.mean([judgement.growth for judgement in found])) + 1
        shares = [100 * counts[word] / len(found) for word in ("drift", "harmless shift", "as before")]
        matters = true > MATTERS
        print(
            f"{name:26}{true:>10.2f}x{estimate:>9.2f}x{shares[0]:>7.1f}%{shares[1]:>9.1f}%{shares[2]:>10.1f}%  "
            f"{'matters' if matters else ''}",
            flush=True,
        )
        if name == "clean" and shares[0] + shares[1] > 2:
            problems.append(f"{shares[0] + shares[1]:.1f} % of the clean scans are called shifted")
        if matters and shares[0] < 95:
            problems.append(f"{name}: detected in {shares[0]:.1f} %")
        if not matters and shares[0] > 2:
            problems.append(f"{name}: does not matter and is called a drift in {shares[0]:.1f} %")
    print("\n".join(problems) or "few false alarms, and each shift that matters is detected")
    return 1 if problems else 0


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(main(given[0] if given else 500, given[1] if len(given) > 1 else 60))
