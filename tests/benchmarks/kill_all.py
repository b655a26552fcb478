"""Kill trainings and the writing of checkpoints, bundles and indices with SIGKILL at random moments, and resume them.

Moments are spread evenly over the processor time of a whole run. A trial succeeds if every file of the folder is whole,
the training goes on with `--resume` (without it if the folder holds no run yet), and its network and its bundle are
those of the run that was not killed, to the last bit. Reconstructions are killed by `kill_refine`, one of several
processes by `kill_rank`.

    python tests/benchmarks/kill_all.py [TRIALS]
"""

from __future__ import annotations

import json
import multiprocessing
import random
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from kill_refine import NETWORK, SIMULATION, call, kill_after, read_seconds, start

from ptycho_torch.models.archive import open_bundle
from ptycho_torch.models.checkpoint import load_network
from ptycho_torch.runtime.threads import set_threads
from ptycho_torch.workflows.training import train_network

TRAINING = (*NETWORK[:-1], "--schedule=constant", "--steps=24", "--checkpoint_steps=1", "--patience=1000")


def check_files(folder: Path) -> None:
    """Read every file that has its final name; raises what reading a file raises that is not whole."""
    for path in folder.rglob("*") if folder.exists() else []:
        if path.name.startswith("."):
            continue
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".ckpt":
            load_network(path)
        elif path.suffix in (".npz", ".zip"):
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None


def read_network(folder: Path) -> dict[str, bytes]:
    """The weights in the last checkpoint, and those in the bundle."""
    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    found = {name: value.numpy().tobytes() for name, value in content["state_dict"].items()}
    bundled = open_bundle(folder).weights
    return found | {f"bundle {name}": np.asarray(value).tobytes() for name, value in bundled.items()}


def main(trials: int, folder: Path) -> list[str]:
    """Run all trials; returns what went wrong."""
    data, choice, failures = f"--data={folder / 'scan.npz'}", random.Random(0), []
    simulation = ("simulate", *SIMULATION, f"--output={folder / 'scan.npz'}", "--quiet")
    process = multiprocessing.get_context("fork").Process(target=call, args=(simulation,))
    process.start()
    process.join()
    words, whole, seconds = ("train", data, *TRAINING), folder / "whole", 0.0
    training = start(*words, f"--output_dir={whole}")
    while training.is_alive():
        seconds = read_seconds(training)
        training.join(0.005)
    assert training.exitcode == 0
    wanted = read_network(whole)
    print(f"a whole training: {seconds:.1f} s of processor time", flush=True)
    for number in range(trials):
        place, told = folder / f"trial {number}", []
        for _ in range(choice.choice((1, 1, 1, 2))):
            moment = choice.uniform(0, seconds)
            again = ("--resume",) if (place / "run.json").exists() else ()
            killed = kill_after(start(*words, f"--output_dir={place}", *again), moment)
            check_files(place)
            told.append(f"{'killed' if killed else 'ended'} at {moment / seconds:.0%}")
        again = ("--resume",) if (place / "run.json").exists() else ()
        resumed = start(*words, f"--output_dir={place}", *again)
        resumed.join()
        same = resumed.exitcode == 0 and read_network(place) == wanted
        print(f"train {', '.join(told)}: {'the same network' if same else f'exit {resumed.exitcode}'}", flush=True)
        failures += [] if same else [" ".join(told)]
    return failures


if __name__ == "__main__":
    set_threads(1)
    assert train_network is not None  # loads torch and all that a run needs before processes are forked
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory() as name:
        problems = main(count, Path(name))
    print(f"{count - len(problems)} of {count} resumed to the same network")
    sys.exit(1 if problems else 0)
