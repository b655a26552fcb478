"""Kill a process of a distributed training at random moments, resume, and count what was lost.

Each trial resumes the training of the one before with two processes and kills one of them with SIGKILL: one trial in
four while they start, the others a random time after they have gone on from the last checkpoint and written the next.
A trial succeeds if the command ends by itself with exit code 2 and one line that says why, and the last checkpoint is
no older than one interval.

    python tests/benchmarks/kill_rank.py [TRIALS]
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

INTERVAL, STEPS, PATIENCE_S, LONGEST_S = 20, 100_000, 60.0, 6.0
NETWORK = ("--width=4", "--depth=1", "--group_size=4", "--batch_size=2", "--bootstrap_epochs=0", "--schedule=constant")


def find_children(parent: int) -> list[int]:
    """Processes that a process started with multiprocessing, in the order of their start."""
    found = []
    # each of them may end at any moment
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="utf-8")
        for child in map(int, text.split()):
            with contextlib.suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(child)
    return found


def start(folder: Path, checkpoint: Path, steps: int, devices: int) -> subprocess.Popen[str]:
    again = "--resume" if checkpoint.exists() else "--overwrite"
    words = ["train", f"--data={folder / 'scan.npz'}", f"--output_dir={folder / 'out'}", f"--steps={steps}", again]
    machine = [f"--devices={devices}", "--device=cpu", "--quiet", f"--checkpoint_steps={INTERVAL}"]
    command = [sys.executable, "-m", "ptycho_torch", *words, *machine, *NETWORK]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def read_step(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, weights_only=True)["global_step"]) if checkpoint.exists() else 0


def wait_for(process: subprocess.Popen[str], *, condition: Callable[[], bool]) -> bool:
    """Wait until a condition holds; False if the process ended before."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(0.02)
    return False


def run_trial(folder: Path, checkpoint: Path, choice: random.Random) -> str:
    """Run one trial; returns what went wrong, or an empty string."""
    before, early = read_step(checkpoint), choice.random() < 0.25
    process = start(folder, checkpoint, STEPS, 2)
    wait_for(process, condition=lambda: len(find_children(process.pid)) == 2)
    wrote = time.time()
    if not early and not wait_for(process, condition=lambda: is_newer(checkpoint, wrote)):
        return f"ended before it went on: {process.communicate()[1][-300:]}"
    time.sleep(choice.uniform(0, LONGEST_S))
    victim = choice.randrange(2)
    os.kill(find_children(process.pid)[victim], signal.SIGKILL)
    killed = time.time()
    try:
        _, said = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return f"the others still ran after {PATIENCE_S:.0f} s"
    after = read_step(checkpoint)
    age = killed - checkpoint.stat().st_mtime if checkpoint.exists() else 0.0
    lines = [line for line in said.splitlines() if line.startswith("ptycho-torch train:")]
    moment = "starting" if early else "training"
    print(
        f"process {victim} killed while {moment}: ended {time.time() - killed:.1f} s later with exit code "
        f"{process.returncode}; checkpoint at step {before} before, {after} after, {age:.1f} s old",
        flush=True,
    )
    if process.returncode != 2 or len(lines) != 1 or "SIGKILL" not in lines[0]:
        return f"exit code {process.returncode}: {said[-300:]}"
    if not early and after <= before:
        return f"the checkpoint is that of step {after}, before it was {before}"
    return ""


def is_newer(path: Path, moment: float) -> bool:
    return path.exists() and path.stat().st_mtime > moment


def main(trials: int) -> None:
    """Run the trials, then finish the training with one process."""
    choice = random.Random(7)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan = ("simulate", f"--output={folder / 'scan.npz'}", "--object_px=96", "--patch_px=32", "--step_px=6")
        subprocess.run([sys.executable, "-m", "ptycho_torch", *scan, "--quiet"], check=True)
        checkpoint = folder / "out" / "checkpoints" / "last.ckpt"
        found = {number: run_trial(folder, checkpoint, choice) for number in range(1, trials + 1)}
        problems = [f"trial {number}: {problem}" for number, problem in found.items() if problem]
        last = read_step(checkpoint)
        process = start(folder, checkpoint, last + INTERVAL, 1)
        said = process.communicate()[1]
        print(f"finished by one process from step {last}: exit code {process.returncode} {said[-300:]}")
        print(f"{trials - len(problems)} of {trials} ended with a message and lost at most {INTERVAL} steps")
        print(*problems, sep="\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
