"""Memory and speed of large scans: 1,000 to 100,000 patterns of 64 px in one field of view, in an HDF5 file.

Each command runs in a process of its own, whose largest resident memory is printed, with what of it canvases take; the
speed of the solver is that of one epoch of least squares. Seconds are those of the processor, as other programs may use
the machine. The largest file has 0.8 GB and is deleted.

    python tests/benchmarks/large_scans.py [--patterns 1000 100000] [--parts index refine infer doctor]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
from report import header

from ptycho_torch.cli.main import main as command
from ptycho_torch.config import RefineSettings, SimulationSettings
from ptycho_torch.data.canvas import Frame
from ptycho_torch.formats import read_one_scan
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.solve.least_squares import LeastSquares
from ptycho_torch.solve.scan_model import ScanModel

PATTERNS = (1000, 10_000, 100_000)
PARTS = ("index", "refine", "infer", "doctor")
_CANVASES = 12


def write_scan(path: Path, patterns: int) -> None:
    """Write a scan of 31 × 31 places, each measured many times."""
    scan = simulate_scan(SimulationSettings(seed=1))
    places = np.resize(np.random.default_rng(0).permutation(len(scan)), patterns)
    with h5py.File(path, "w") as file:
        stored = file.create_dataset("patterns", (patterns, scan.patch_px, scan.patch_px), "u2")
        for start in range(0, patterns, 1000):
            stored[start : start + 1000] = scan.counts[places[start : start + 1000]]
        file["positions"] = scan.positions_px[places] + np.random.default_rng(1).uniform(-0.02, 0.02, (patterns, 2))
        file["probe"] = scan.probe


def measure_index(path: Path) -> None:
    """Print the time of an index and of one reading of the file, both from the disk and from the system's cache."""
    read_one_scan(path)  # loads what reading needs
    for place in ("disk", "cache"):
        found = {}
        for name, act in (("index", lambda: read_one_scan(path)), ("reading", lambda: read_all(path))):
            if place == "disk":
                forget(path)
            found[name] = measure(act)
        index, reading = found["index"], found["reading"]
        print(f"  from the {place}: index {index[0]:.2f} s ({index[1]:.2f} s of the processor), one reading "
              f"{reading[0]:.2f} s ({reading[1]:.2f} s), ratio {index[0] / reading[0]:.2f}")  # fmt: skip


def read_all(path: Path) -> None:
    """Read all patterns as h5py gives them, a few at a time."""
    with h5py.File(path) as file:
        for start in range(0, len(file["patterns"]), 512):
            file["patterns"][start : start + 512]


def forget(path: Path) -> None:
    """Drop a file from the system's cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(act: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the clock and of the processor."""
    started = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - started[0], time.process_time() - started[1]


def run(words: list[str]) -> None:
    """Run a command without its messages."""
    with contextlib.redirect_stdout(io.StringIO()):
        command(words)


def print_memory(name: str, path: Path) -> None:
    """Print the largest resident memory of this process so far."""
    scan = read_one_scan(path)
    # that of getrusage includes the process that started this one
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    used = 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    canvases = _CANVASES * 8 * int(np.prod(Frame(scan.positions_px, scan.patch_px).shape_px))
    print(f"  {name}: {used / 1e6:.0f} MB, less {_CANVASES} canvases {(used - canvases) / 1e6:.0f} MB, "
          f"{time.process_time():.0f} s of the processor", flush=True)  # fmt: skip


def measure_refine(path: Path, output: Path) -> None:
    """Print memory of `refine` and the speed of an epoch."""
    run(["refine", "--data", str(path), "--output_dir", str(output), "--epochs", "1", "--quiet",
             "--method", "least_squares"])  # fmt: skip
    print_memory("refine", path)
    scan = read_one_scan(path)
    with torch.no_grad():
        model = ScanModel(scan, torch.device("cpu"), held_out_share=0.02)
        settings = RefineSettings(probe_start=0)
        solver = LeastSquares(model, model.start_object(None), model.start_probe(None, 1), settings)
        _, seconds = measure(lambda: solver.epoch(0))
    print(f"  solver: {len(scan) / seconds:.0f} patterns/s")


def measure_infer(path: Path, output: Path) -> None:
    """Print memory of `infer` without a polish, by a network of one step."""
    run(["infer", "--checkpoint", str(path.with_name("trained") / "checkpoints" / "last.ckpt"), "--quiet",
             "--data", str(path), "--output_dir", str(output), "--no-polish"])  # fmt: skip
    print_memory("infer", path)


def measure_doctor(path: Path, output: Path) -> None:
    """Print memory of `doctor`."""
    run(["doctor", str(path), "--output_dir", str(output), "--quiet"])
    print_memory("doctor", path)


def main() -> None:
    """Write scans and start a process for each part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--patterns", type=int, nargs="+", default=PATTERNS)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--child", type=Path)
    arguments = parser.parse_args()
    if arguments.child:
        (part,) = arguments.parts
        with tempfile.TemporaryDirectory() as output:
            acts = {"refine": measure_refine, "infer": measure_infer, "doctor": measure_doctor}
            measure_index(arguments.child) if part == "index" else acts[part](arguments.child, Path(output))
        return
    header("large scans of 64 px in one field of view")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "infer" in arguments.parts:
            write_scan(folder / "small.h5", 200)
            run(["train", "--data", str(folder / "small.h5"), "--output_dir", str(folder / "trained"),
                     "--steps", "1", "--quiet"])  # fmt: skip
        for patterns in arguments.patterns:
            print(f"{patterns} patterns", flush=True)
            write_scan(folder / "scan.h5", patterns)
            for part in arguments.parts:
                child = [sys.executable, __file__, "--parts", part, "--child", str(folder / "scan.h5")]
                subprocess.run(child, check=False, stdout=None)


if __name__ == "__main__":
    main()
