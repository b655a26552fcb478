"""Is a training or a solution by two processes the same as by one, and how much faster?

Each process has one thread. Wall times say something on an idle machine only; the time of the processors, per process,
does not depend on others much, and its ratio is what an idle machine with a core for each process would show.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from report import header

from ptycho_torch.config import Experiment, RefineSettings, SimulationSettings, TrainerSettings, TrainingSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.runtime.launch import launch
from ptycho_torch.runtime.ranks import find_ranks, join_ranks
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.solve import refine
from ptycho_torch.training.fit import fit

# rounding grows from step to step of Adam, and a time has to be long beside what starts and ends a training
STEPS_TO_COMPARE, STEPS_TO_TIME, BATCH = 30, 150, 4
SOLVER = RefineSettings(method="least_squares", epochs=30)
SCANS = {
    "64 px": SimulationSettings(),
    "128 px": SimulationSettings(object_px=448, patch_px=128, probe_diameter_px=64, step_px=12),
}


def work(scan: Scan, folder: Path, devices: int) -> dict[str, Any]:
    """Train and solve in this process; returns weights, object, and seconds: wall, and the most of a process."""
    trainer = TrainerSettings(devices=devices)
    training = TrainingSettings(steps=STEPS_TO_TIME, batch_size=BATCH, bootstrap_epochs=0)
    experiment, device = Experiment(training=training, trainer=trainer), torch.device("cpu")
    torch.set_num_threads(1)
    with join_ranks(find_ranks(trainer), {}) as ranks:
        found: dict[str, Any] = {}
        probes = [scan.require_probe()]
        # the first steps also load libraries and prepare memory
        short = replace(experiment, training=replace(training, steps=STEPS_TO_COMPARE))
        result = fit([scan], probes, short, folder / f"compared{devices}", device=device, ranks=ranks, track=False)
        started = measure()
        fit([scan], probes, experiment, folder / f"timed{devices}", device=device, ranks=ranks, track=False)
        found["training"] = [max(values) for values in zip(*ranks.gather(since(started)), strict=True)]
        refine(scan, replace(SOLVER, epochs=1), ranks=ranks)
        started = measure()
        solution = refine(scan, SOLVER, ranks=ranks)
        found["solver"] = [max(values) for values in zip(*ranks.gather(since(started)), strict=True)]
    weights = torch.load(result.last, weights_only=True)["state_dict"]
    found["weights"] = np.concatenate([value.numpy().ravel() for name, value in weights.items() if "generator" in name])
    found["object"] = solution.canvas.pixels
    return found


def measure() -> tuple[float, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), usage.ru_utime + usage.ru_stime


def since(started: Sequence[float]) -> list[float]:
    return [now - before for now, before in zip(measure(), started, strict=True)]


def main() -> None:
    """Print differences and ratios."""
    header(f"one process and two, one thread each, default network, steps of {BATCH} groups of 16")
    for size, settings in SCANS.items():
        scan = simulate_scan(settings)
        with tempfile.TemporaryDirectory() as name:
            one = work(scan, Path(name), 1)
            two = launch(find_ranks(TrainerSettings(devices=2)), work, scan, Path(name), 2)
        print(f"{len(scan)} patterns of {size}")
        for what, stage in (("weights", "training"), ("object", "solver")):
            difference = np.linalg.norm(one[what] - two[what]) / np.linalg.norm(one[what])
            wall, busy = (before / after for before, after in zip(one[stage], two[stage], strict=True))
            print(f"  {stage}: relative difference of the {what} {difference:.1e}")
            print(f"    wall {one[stage][0]:.1f} s and {two[stage][0]:.1f} s, ratio {wall:.2f}")
            print(f"    processor time of a process {one[stage][1]:.1f} s and {two[stage][1]:.1f} s, ratio {busy:.2f}")
    print(f"load at the end {os.getloadavg()[0]:.1f}; the bar is 1.6")


if __name__ == "__main__":
    main()
