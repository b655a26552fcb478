"""How often verdicts on models are right, wrong, or turn round with the scans on which they are compared.

Networks of three lengths of training, several seeds each, are compared in pairs on scans of other samples. Which of two
is better is taken from all scans together; a verdict on some of them is right, wrong, or `no different`.

    python tests/benchmarks/model_verdicts.py [SCANS]
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections import Counter
from pathlib import Path

from ptycho_torch.config import Experiment, ModelSettings, RegistrySettings, SimulationSettings, TrainingSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.models.checkpoint import TrainedNetwork, load_network
from ptycho_torch.registry import compare_networks
from ptycho_torch.registry.chance import Errors, compare_errors
from ptycho_torch.runtime.threads import set_threads
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.workflows.training import train_network

SEEDS, STEPS = 3, (100, 140, 200)


def simulate(seed: int, object_px: int, photons: float) -> Scan:
    return simulate_scan(
        SimulationSettings(
            object_px=object_px, patch_px=32, probe_diameter_px=12, step_px=4.5, photons=photons, seed=seed
        )
    )


def train(scan: Scan, steps: int, seed: int, folder: Path) -> TrainedNetwork:
    settings = TrainingSettings(
        steps=steps, seed=seed, group_size=4, batch_size=8, bootstrap_epochs=2, validation_share=0.1
    )
    experiment = Experiment(model=ModelSettings(width=8, depth=2), training=settings)
    place = folder / f"{steps}_{seed}"
    return load_network(train_network([scan], place, experiment, device="cpu", track=False).last)


def judge(errors: list[Errors], truth: float) -> str:
    found = compare_errors(errors, RegistrySettings())
    if found.word == "no different":
        return found.word
    return "right" if (found.word == "better") == (truth > 0) else "wrong"


def main(scans: int) -> None:
    set_threads(1)
    settings = RegistrySettings()
    with tempfile.TemporaryDirectory() as name:
        seen = simulate(0, 112, 1e6)
        networks = {
            (steps, seed): train(seen, steps, seed, Path(name)) for steps in STEPS for seed in range(1, SEEDS + 1)
        }
    for kind in ("with true objects", "by patterns alone"):
        unseen = [simulate(seed, 80, 1e6) for seed in range(1, scans + 1)]
        if kind == "by patterns alone":
            unseen = [Scan(scan.counts, scan.positions_px, scan.probe) for scan in unseen]
        counts: dict[tuple[str, int], Counter[str]] = {}
        for first, second in itertools.combinations(networks, 2):
            pair = networks[first], networks[second]
            found = compare_networks(("a", "b"), pair, unseen, settings, device="cpu")
            errors, gain = [part.errors for part in found.scans], found.outcome.gain
            group = "one length of training" if first[0] == second[0] else "different lengths"
            for size in (1, 2, 6):
                parts = [errors[start : start + size] for start in range(0, len(errors) - size + 1, size)]
                counts.setdefault((group, size), Counter()).update(judge(part, gain) for part in parts)
        for (group, size), counter in sorted(counts.items()):
            total = sum(counter.values())
            shares = ", ".join(f"{word} {counter[word] / total:.1%}" for word in ("right", "no different", "wrong"))
            print(f"{kind}, {group}, {size} scans: {shares} of {total}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
