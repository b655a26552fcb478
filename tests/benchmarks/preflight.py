"""How long does it take to check a sweep of 100 trainings: of one scan, 20 networks and 5 learning rates?"""

from __future__ import annotations

import itertools
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from report import header

import ptycho_torch as pt
from ptycho_torch.config import Experiment, ModelSettings, SimulationSettings, TrainingSettings
from ptycho_torch.preflight import Plan, Report, check_all

WIDTHS, DEPTHS, RATES = (8, 12, 16, 20, 24), (1, 2, 3, 4), (1e-2, 3e-3, 1e-3, 3e-4, 1e-4)


def make_plans(data: Path, folder: Path) -> list[Plan]:
    """One plan for each network and learning rate."""
    plans = []
    for number, (width, depth, rate) in enumerate(itertools.product(WIDTHS, DEPTHS, RATES)):
        model, training = ModelSettings(width=width, depth=depth), TrainingSettings(learning_rate=rate)
        experiment = Experiment(model=model, training=training)
        plan = Plan(experiment=experiment, data=data, output_dir=folder / str(number), device="cpu", name=str(number))
        plans.append(plan)
    return plans


def measure(title: str, plans: list[Plan]) -> list[Report]:
    started, computed = time.perf_counter(), time.process_time()
    reports = check_all(plans)
    refused = sum(not report.passed for report in reports)
    seconds, processor = time.perf_counter() - started, time.process_time() - computed
    print(f"| {title} | {len(plans)} | {refused} | {seconds:.1f} | {processor:.1f} |", flush=True)
    return reports


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pt.write_scan(pt.simulate_scan(SimulationSettings()), folder / "scan.npz")
        plans = make_plans(folder / "scan.npz", folder)
        header("time to check a sweep before it is launched")
        print("| trainings | number | refused | seconds | of the processor |\n|---|---|---|---|---|")
        measure("one, with the first use of torch", plans[:1])
        measure("all", plans)
        broken = [replace(plan, experiment=replace(plan.experiment, model=ModelSettings(depth=6))) for plan in plans]
        measure("all, of a depth that does not fit", broken)
        measure("all, on another machine", [replace(plan, elsewhere=True, device="cuda") for plan in plans])


if __name__ == "__main__":
    main()
