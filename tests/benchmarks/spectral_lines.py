"""How well does the spectral network image lines from patterns of 128 px, trained on them alone for 20 minutes?

python tests/benchmarks/spectral_lines.py [--steps STEPS] [SEED ...]

Groups of four patterns, known probe, preset docs/presets/spectral.yaml. Published for comparison, on a GPU: amplitude
and phase SSIM .988 and .995 (spectral residual U-Net), .733 and .264 (CNN), the phase with a data range of 2π.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from report import header
from similarity import compare

from ptycho_torch.cli.config_file import read_config
from ptycho_torch.config import Experiment, RefineSettings, SimulationSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.workflows.reconstruction import reconstruct_scan
from ptycho_torch.workflows.training import train_network

PRESET = Path(__file__).parents[2] / "docs" / "presets" / "spectral.yaml"
SCAN = SimulationSettings(object="lines", object_px=392, patch_px=128, probe_diameter_px=40, step_px=8)
POLISH = RefineSettings(epochs=10)
COLUMNS = ("amplitude", "phase", "phase_2pi", "error")


def main() -> None:
    """Print a line for each seed as soon as it is measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("seeds", nargs="*", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int)
    arguments = parser.parse_args()
    experiment = Experiment.from_dict(read_config(PRESET))
    steps = arguments.steps or experiment.training.steps
    scan = simulate_scan(SCAN)
    header(f"lines, {len(scan)} patterns of {scan.patch_px} px, {SCAN.photons:.0e} photons, {steps} training steps")
    print(
        "| seed | training, CPU s (wall s) | object | "
        + " | ".join(COLUMNS)
        + " |\n|---|---|---|"
        + "---|" * len(COLUMNS)
    )
    for seed in arguments.seeds:
        settings = replace(experiment.training, seed=seed, steps=steps, bootstrap_epochs=0)
        _measure(scan, replace(experiment, training=settings))


def _measure(scan: Scan, experiment: Experiment) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = time.process_time(), time.perf_counter()
        trained = train_network([scan], Path(folder) / "run", experiment, track=False, device="cpu")
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        found = reconstruct_scan(trained.last, scan, polish=POLISH, probe=scan.probe, device="cpu")
    assert found.polished is not None
    assert found.control is not None
    objects = {
        "network": found.prediction.canvas,
        "network + polish": found.polished.canvas,
        "flat + polish": found.control.canvas,
    }
    for name, canvas in objects.items():
        figures = compare(scan, canvas)
        values = " | ".join(f"{figures[column]:.3f}" for column in COLUMNS)
        print(f"| {experiment.training.seed} | {cpu:.0f} ({wall:.0f}) | {name} | {values} |", flush=True)


if __name__ == "__main__":
    main()
