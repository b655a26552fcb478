"""`demo`: simulate, train and reconstruct, each step as a user would call it."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ptycho_torch.cli.shared import add_device, add_output, add_quiet, start_record
from ptycho_torch.errors import PtychoError, require_torch

STEPS = 400
# the scan for training, one of another object of the same kind, and one of an object of another kind
SCANS = {
    "own": ("--object=dead_leaves", "--seed=0"),
    "same_kind": ("--object=dead_leaves", "--seed=7", "--object_px=224"),
    "other_kind": ("--object=siemens", "--seed=7", "--object_px=224"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_output(parser, "demo_output")
    add_device(parser)
    parser.add_argument("--steps", type=int, default=STEPS, help=f"training steps (default: {STEPS})")
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> None:
    """Simulate three scans, train on one, reconstruct all in new processes, print a summary."""
    require_torch()
    from ptycho_torch.storage.writing import check_folder

    folder: Path = arguments.output_dir
    check_folder(folder, overwrite=arguments.overwrite)
    record = start_record(arguments, {}, [])
    started = time.perf_counter()
    scans, network = {name: folder / f"{name}.npz" for name in SCANS}, folder / "network"
    for name, options in SCANS.items():
        _run_step("simulate", f"--output={scans[name]}", *options)
    machine = [f"--device={arguments.device}", *(["--quiet"] if arguments.quiet else [])]
    _run_step("train", f"--data={scans['own']}", f"--output_dir={network}", f"--steps={arguments.steps}", *machine)
    checkpoint = network / "checkpoints" / "last.ckpt"
    results = {}
    for name, path in scans.items():
        target = folder / f"reconstruction_{name}"
        _run_step("infer", f"--checkpoint={checkpoint}", f"--data={path}", f"--output_dir={target}", *machine)
        results[name] = json.loads((target / "metrics.json").read_text())
    seconds = time.perf_counter() - started
    record.finish(results=results, seconds=seconds)
    _print_summary(results, folder, seconds)


def _run_step(*command: str) -> None:
    print(f"\n$ ptycho-torch {' '.join(command)}", flush=True)
    code = subprocess.run([sys.executable, "-m", "ptycho_torch", *command], check=False).returncode
    if code:
        raise PtychoError(f"the step {command[0]!r} ended with exit code {code}; its message is above")


def _print_summary(results: dict[str, dict[str, Any]], folder: Path, seconds: float) -> None:
    print(f"\nfinished in {seconds:.0f} s")
    print(f"{'':28}{'phase corr.':>12}{'error':>9}{'R':>9}{'R floor':>9}")
    for name, metrics in results.items():
        for key in ("network", "network_polish", "flat_polish"):
            row, what = metrics[key], f"{name.replace('_', ' ')}: {key.replace('_', ' + ')}"
            print(
                f"{what:28}{row['phase_correlation']:12.3f}{row['complex_error']:9.4f}{row['R']:9.4f}{row['R_floor']:9.4f}"
            )
        print(f"{name.replace('_', ' ')}: the result started from the {metrics['start']} object")
    for name in results:
        print(f"figure: {folder / f'reconstruction_{name}' / 'comparison.png'}")
    print(f"metrics: {folder / 'run.json'}")
