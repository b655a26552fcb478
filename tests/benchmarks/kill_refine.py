"""Kill reconstructions with SIGKILL at random moments, resume them, and compare with one that was not killed.

Moments are spread evenly over the processor time of a whole run; one trial in four kills the resumed run as well. A
trial succeeds if every file of the folder is whole, the run goes on with `--resume` (without it if the folder holds no
run yet), and object, probe and figures are those of the run that was not killed, to the last bit.

    python tests/benchmarks/kill_refine.py [TRIALS]
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ptycho_torch.cli.main import main
from ptycho_torch.runtime.run_record import read_record
from ptycho_torch.runtime.threads import set_threads
from ptycho_torch.workflows.refinement import refine_scan

MACHINE = ("--device=cpu", "--threads=1", "--quiet")
SIMULATION = ("--object_px=64", "--patch_px=32", "--probe=gaussian", "--probe_diameter_px=8", "--step_px=4", "--seed=5")
NETWORK = ("--width=4", "--depth=1", "--group_size=4", "--batch_size=2", "--bootstrap_epochs=0", "--steps=2")
COMMANDS = {
    "refine": ("--epochs=40", "--method=poisson", "--batches=4", "--halves", "--live=20"),
    "infer": ("--batch_size=4", "--polish_epochs=20", "--polish_batches=4"),
}


def call(words: tuple[str, ...]) -> None:
    """Run a command in a process of its own, whose modules are loaded already, without its output."""
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    os._exit(main(words))


def start(*words: str) -> ForkProcess:
    process = multiprocessing.get_context("fork").Process(target=call, args=((*words, *MACHINE),))
    process.start()
    return process


def read_seconds(process: ForkProcess) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kill_after(process: ForkProcess, seconds: float) -> bool:
    """Kill a process when it has used so much processor time; False if it ended before."""
    while process.is_alive():
        if read_seconds(process) >= seconds:
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
            return process.exitcode == -signal.SIGKILL
        time.sleep(0.002)
    process.join()
    return False


def check_files(folder: Path) -> None:
    """Read every file that has its final name; raises what reading a file raises that is not whole."""
    for path in folder.iterdir() if folder.exists() else []:
        if path.name.startswith("."):
            continue
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".png":
            with Image.open(path) as picture:
                picture.load()
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                for name in arrays.files:
                    arrays[name]


def read_result(folder: Path) -> dict[str, Any]:
    """Arrays and figures of a result, without times."""
    with np.load(folder / "object.npz") as stored:
        found: dict[str, Any] = {name: stored[name].tobytes() for name in stored.files}
    figures = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    figures.pop("seconds", None)
    figures.pop("speed", None)
    names = sorted(path.name for path in folder.iterdir() if not path.match("run-*.json"))
    return {**found, "probe": np.load(folder / "probe.npy").tobytes(), "figures": figures, "files": names}


def run_trial(words: tuple[str, ...], folder: Path, whole: float, wanted: dict[str, Any], choice: random.Random) -> str:
    """Kill a run once or twice and resume it; returns what went wrong, or an empty string."""
    moments = [choice.uniform(0, whole) for _ in range(choice.choice((1, 1, 1, 2)))]
    told = []
    for moment in moments:
        again = ("--resume",) if (folder / "run.json").exists() else ()
        killed = kill_after(start(*words, f"--output_dir={folder}", *again), moment)
        check_files(folder)
        told.append(
            f"{'killed' if killed else 'ended'} at {moment / whole:.0%}{' of the resumed run' if again else ''}"
        )
    again = ("--resume",) if (folder / "run.json").exists() else ()
    process = start(*words, f"--output_dir={folder}", *again)
    process.join()
    check_files(folder)
    same = process.exitcode in (0, 3) and read_result(folder) == wanted
    left = read_record(folder)["status"] if (folder / "run.json").exists() else "no run"
    print(
        f"{words[0]} {', '.join(told)}: {'the same result' if same else f'exit {process.exitcode}, {left}'}", flush=True
    )
    return "" if same else " ".join(told)


def run_trials(trials: int, folder: Path) -> list[str]:
    """Run all trials; returns what went wrong."""
    data, network = f"--data={folder / 'scan.npz'}", folder / "network"
    for step in (
        ("simulate", *SIMULATION, f"--output={folder / 'scan.npz'}"),
        ("train", data, f"--output_dir={network}", *NETWORK),
    ):
        process = multiprocessing.get_context("fork").Process(
            target=call, args=((*step, "--quiet", *(MACHINE[:2] if step[0] == "train" else ())),)
        )
        process.start()
        process.join()
    choice, failures = random.Random(0), []
    commands, wanted, seconds = {}, {}, {}
    for name, options in COMMANDS.items():
        checkpoint = (f"--checkpoint={network / 'checkpoints' / 'last.ckpt'}",) if name == "infer" else ()
        commands[name] = (name, data, *checkpoint, *options)
        process = start(*commands[name], f"--output_dir={folder / name}")
        while process.is_alive():
            seconds[name] = read_seconds(process)
            time.sleep(0.005)
        wanted[name] = read_result(folder / name)
        print(f"{name}: {seconds[name]:.1f} s of processor time", flush=True)
    for number in range(trials):
        name = list(COMMANDS)[number % 2]
        place = folder / f"trial {number}"
        failure = run_trial(commands[name], place, seconds[name], wanted[name], choice)
        failures += [failure] if failure else []
    return failures


if __name__ == "__main__":
    set_threads(1)
    assert refine_scan is not None  # loads torch and all that a run needs before processes are forked
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory() as name:
        problems = run_trials(count, Path(name))
    print(f"{count - len(problems)} of {count} resumed to the same result")
    sys.exit(1 if problems else 0)
