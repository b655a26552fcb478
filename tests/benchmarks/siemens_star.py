"""The measured Siemens star: residual, resolution and time of the solver alone, and after a trained network.

PTYCHO_TORCH_DATA=FOLDER python tests/benchmarks/siemens_star.py [OUTPUT_FOLDER]
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from report import header

from ptycho_torch.config import Experiment, InferenceSettings, RefineSettings, TrainingSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.formats import read_npz
from ptycho_torch.workflows.outputs import write_result
from ptycho_torch.workflows.reconstruction import reconstruct_scan
from ptycho_torch.workflows.refinement import refine_scan
from ptycho_torch.workflows.training import train_network

TRAINING_STEPS = 300


def main() -> None:
    """Print figures; write pictures where a folder is named."""
    scan = read_npz(Path(os.environ["PTYCHO_TORCH_DATA"]) / "siemens_star.npz")
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    header(f"measured Siemens star, {len(scan)} patterns of {scan.patch_px} px, {scan.photons_per_pattern:.3g} photons")
    _alone(scan, output)
    _after_network(scan, output)


def _alone(scan: Scan, output: Path | None) -> None:
    for modes, epochs in ((1, 20), (1, 60), (2, 60), (3, 60)):
        found = refine_scan(scan, RefineSettings(epochs=epochs, probe_modes=modes), halves=True)
        row = found.metrics
        print(
            f"refine alone, {modes} mode(s), {epochs} epochs: R {row['R']:.4f}"
            f" ({row['R'] / row['R_floor']:.2f} x floor) in {row['seconds']:.1f} s,"
            f" half-data FRC 1/2-bit at {row['frc_half_bit_nyquist']:.3f} Nyquist"
        )
        if output:
            folder = output / f"refine_{modes}_modes_{epochs}_epochs"
            folder.mkdir(parents=True, exist_ok=True)
            write_result(found, folder)


def _after_network(scan: Scan, output: Path | None) -> None:
    folder = (output or Path("siemens_star_benchmark")) / "network"
    experiment = Experiment(training=TrainingSettings(steps=TRAINING_STEPS), refine=RefineSettings(epochs=60))
    started = time.perf_counter()
    trained = train_network([scan], folder, experiment)
    print(f"training, {trained.steps} steps: {time.perf_counter() - started:.0f} s with the search for the probe")
    result = reconstruct_scan(trained.last, scan, inference=InferenceSettings(), polish=RefineSettings(epochs=60))
    alone = refine_scan(scan, RefineSettings(epochs=60)).metrics["R"]
    for name in ("network", "network_polish", "flat_polish"):
        row = result.metrics[name]
        print(f"{name:15} R {row['R']:.4f}, {row['R'] / alone:.3f} x refine alone at equal epochs")
    if output:
        write_result(result, folder)
    else:
        shutil.rmtree(folder.parent)


if __name__ == "__main__":
    main()
