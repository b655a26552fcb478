"""Start two processes at once: two trainings, reconstructions or exports in one folder, two workers at one queue.

A trial succeeds if one of the two is refused and the folder is that of the other, whole and with nothing beside it; two
workers must do each job once.

    python tests/benchmarks/two_at_once.py [TRIALS]
"""

from __future__ import annotations

import json
import multiprocessing
import random
import sys
import tempfile
import time
from pathlib import Path

import torch.export  # noqa: F401 - loaded once, before processes are started
from kill_all import check_files
from kill_export import run
from kill_refine import MACHINE, NETWORK, SIMULATION, call, read_result
from report import header

from ptycho_torch.export.read import check_export
from ptycho_torch.jobs.queue import Queue
from ptycho_torch.models.checkpoint import load_network
from ptycho_torch.runtime.threads import set_threads
from ptycho_torch.workflows.training import train_network

KINDS = ("train", "refine", "export", "jobs")
OPTIONS = {"train": (*NETWORK, *MACHINE), "refine": ("--epochs=10", *MACHINE)}
JOBS = 2


def start_two(words: tuple[str, ...], delay: float) -> list[int]:
    """Start a command twice, the second time a little later; returns the exit codes in ascending order."""
    processes = []
    for wait in (0.0, delay):
        time.sleep(wait)
        processes.append(multiprocessing.get_context("fork").Process(target=call, args=(words,)))
        processes[-1].start()
    for process in processes:
        process.join()
    return sorted(process.exitcode or 0 for process in processes)


def try_run(kind: str, scan: Path, folder: Path, delay: float) -> str:
    """Two trainings or reconstructions in one folder; returns what went wrong, or an empty string."""
    codes = start_two((kind, f"--data={scan}", f"--output_dir={folder}", *OPTIONS[kind]), delay)
    check_files(folder)
    if kind == "train":
        load_network(folder / "checkpoints" / "last.ckpt")
    else:
        read_result(folder)
    status = json.loads((folder / "run.json").read_text(encoding="utf-8"))["status"]
    left = [path.name for path in folder.iterdir() if path.name.endswith(".part")]
    good = codes in ([0, 2], [2, 3]) and status == "finished" and not left
    return "" if good else f"exit codes {codes}, {status}, left {left}"


def try_export(network: Path, folder: Path, delay: float) -> str:
    """Two exports to one folder."""
    codes = start_two(("export", str(network), f"--output={folder / 'out'}", "--quiet"), delay)
    check_export(folder / "out")
    names = [path.name for path in folder.iterdir()]
    return "" if codes == [0, 2] and names == ["out"] else f"exit codes {codes}, {names}"


def try_jobs(folder: Path, delay: float) -> str:
    """Two workers at one queue."""
    queue = Queue(folder / "jobs.sqlite", create=True)
    for number in range(JOBS):
        word = f"--output={folder / f'{number}.npz'}"
        run("jobs", "add", f"--queue={queue.path}", "simulate", *SIMULATION, word, "--quiet")
    codes = start_two(("jobs", "run", f"--queue={queue.path}", "--until_empty", "--poll_s=0.1", "--quiet"), delay)
    states = [(job.state, job.attempts) for job in queue.list_jobs()]
    done = all((folder / f"{number}.npz").exists() for number in range(JOBS))
    return "" if codes == [0, 0] and done and states == [("done", 1)] * JOBS else f"exit codes {codes}, {states}"


def main(trials: int, folder: Path) -> list[str]:
    """Run all trials; returns what went wrong."""
    header("two processes at once")
    scan, network, choice, failures = folder / "scan.npz", folder / "network", random.Random(0), []
    run("simulate", *SIMULATION, f"--output={scan}", "--quiet")
    run("train", f"--data={scan}", f"--output_dir={network}", *NETWORK, *MACHINE)
    for number in range(trials):
        kind, place, delay = KINDS[number % len(KINDS)], folder / f"trial {number}", choice.choice((0.0, 0.05, 0.3))
        place.mkdir()
        if kind in ("train", "refine"):
            problem = try_run(kind, scan, place / "out", delay)
        else:
            problem = try_export(network, place, delay) if kind == "export" else try_jobs(place, delay)
        print(f"{kind}, second after {delay:g} s: {problem or 'nothing lost'}", flush=True)
        failures += [problem] if problem else []
    return failures


if __name__ == "__main__":
    set_threads(1)
    assert train_network is not None  # loads torch and all that a run needs before processes are forked
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as name:
        problems = main(count, Path(name))
    print(f"{count - len(problems)} of {count} without loss")
    sys.exit(1 if problems else 0)
