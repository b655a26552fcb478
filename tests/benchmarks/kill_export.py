"""Kill the export of a trained network with SIGKILL at random moments, and look at what it leaves.

Moments are spread evenly over the processor time of a whole export; every second trial replaces an earlier export. A
trial succeeds if the folder, where there is one, passes `export --check`, the earlier export is still there or replaced
by a whole one, and the same command then writes a whole export and leaves nothing beside it.

    python tests/benchmarks/kill_export.py [TRIALS]
"""

from __future__ import annotations

import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import torch.export  # noqa: F401 - loaded once, before processes are started
from kill_refine import MACHINE, NETWORK, SIMULATION, call, kill_after, read_seconds
from report import header

from ptycho_torch.export.read import check_export
from ptycho_torch.runtime.threads import set_threads
from ptycho_torch.workflows.training import train_network


def run(*words: str) -> int | None:
    """Run a command in a process of its own; returns its exit code."""
    process = multiprocessing.get_context("fork").Process(target=call, args=(words,))
    process.start()
    process.join()
    return process.exitcode


def run_trial(words: tuple[str, ...], earlier: Path | None, folder: Path, moment: float) -> str:
    """Kill an export, look at what it left, and export again; returns what went wrong, or an empty string."""
    place = folder / "exported"
    if earlier:
        shutil.copytree(earlier, place)
    asked = (*words, f"--output={place}")
    process = multiprocessing.get_context("fork").Process(
        target=call, args=((*asked, *(("--overwrite",) if earlier else ())),)
    )
    process.start()
    killed = kill_after(process, moment)
    if earlier and not place.exists():
        return "the earlier export is lost"
    if place.exists() and run("export", str(place), "--check", "--quiet") != 0:
        return "a folder that is not whole"
    if run(*asked, *(("--overwrite",) if place.exists() else ())) != 0:
        return "no second export"
    if run("export", str(place), "--check", "--quiet") != 0:
        return "the second export is not whole"
    left = [path.name for path in folder.iterdir() if path != place]
    print(
        f"{'replacing' if earlier else 'new'}, {'killed' if killed else 'ended'} at {moment:.2f} s: whole", flush=True
    )
    return f"left {left}" if left else ""


def main(trials: int, folder: Path) -> list[str]:
    """Run all trials; returns what went wrong."""
    header("exports killed at random moments")
    scan, network, earlier = folder / "scan.npz", folder / "network", folder / "earlier"
    run("simulate", *SIMULATION, f"--output={scan}", "--quiet")
    run("train", f"--data={scan}", f"--output_dir={network}", *NETWORK, *MACHINE)
    words, seconds, choice, failures = ("export", str(network), "--quiet"), 0.0, random.Random(0), []
    process = multiprocessing.get_context("fork").Process(target=call, args=((*words, f"--output={earlier}"),))
    process.start()
    while process.is_alive():
        seconds = read_seconds(process)
        time.sleep(0.005)
    assert process.exitcode == 0
    print(f"a whole export: {seconds:.1f} s of processor time", flush=True)
    for number in range(trials):
        place = folder / f"trial {number}"
        place.mkdir()
        problem = run_trial(words, earlier if number % 2 else None, place, choice.uniform(0, seconds))
        failures += [problem] if problem else []
        shutil.rmtree(place)
    return failures


if __name__ == "__main__":
    set_threads(1)
    assert train_network is not None  # loads torch and all that a run needs before processes are forked
    assert check_export is not None
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    with tempfile.TemporaryDirectory() as name:
        problems = main(count, Path(name))
    print(f"{count - len(problems)} of {count} left whole exports", *sorted(set(problems)))
    sys.exit(1 if problems else 0)
