"""Kill a process of a distributed training at random moments, resume, and count what was lost.

Each trial resumes the training of the one before with two processes, waits until both run, and kills one of them
after a random time with SIGKILL. It succeeds if the command ends by itself with exit code 2 and one line that says why,
and if the next trial goes on from a checkpoint that is no older than one interval.

    python tests/benchmarks/kill_rank.py [TRIALS]
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

INTERVAL, STEPS, PATIENCE_S, LONGEST_S = 20, 100_000, 60.0, 15.0
NETWORK = ("--width=4", "--depth=1", "--group_size=4", "--batch_size=2", "--bootstrap_epochs=0", "--schedule=constant")


def find_children(parent: int) -> list[int]:
    """Processes that a process started with multiprocessing, in the order of their start."""
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="utf-8")
    return [child for child in map(int, text.split()) if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def start(folder: Path, checkpoint: Path, steps: int, devices: int) -> subprocess.Popen[str]:
    again = "--resume" if checkpoint.exists() else "--overwrite"
    words = ["train", f"--data={folder / 'scan.npz'}", f"--output_dir={folder / 'out'}", f"--steps={steps}", again]
    machine = [f"--devices={devices}", "--device=cpu", "--quiet", f"--checkpoint_steps={INTERVAL}"]
    command = [sys.executable, "-m", "ptycho_torch", *words, *machine, *NETWORK]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def read_step(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, weights_only=True)["global_step"]) if checkpoint.exists() else 0


def run_trial(folder: Path, checkpoint: Path, choice: random.Random) -> str:
    """Run one trial; returns what went wrong, or an empty string."""
    process = start(folder, checkpoint, STEPS, 2)
    while len(find_children(process.pid)) < 2:
        time.sleep(0.05)
    time.sleep(choice.uniform(0, LONGEST_S))
    before = read_step(checkpoint)
    victim = choice.randrange(2)
    written = time.time() - checkpoint.stat().st_mtime if checkpoint.exists() else 0.0
    pid = find_children(process.pid)[victim]
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    try:
        _, said = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return f"the others still ran after {PATIENCE_S:.0f} s"
    after = read_step(checkpoint)
    lines = [line for line in said.splitlines() if line.startswith("ptycho-torch train:")]
    print(
        f"process {victim} killed {written:5.1f} s after a checkpoint; ended {time.monotonic() - killed:4.1f} s later, "
        f"exit code {process.returncode}, last checkpoint at step {after}"
    )
    if process.returncode != 2 or len(lines) != 1 or "SIGKILL" not in lines[0]:
        return f"exit code {process.returncode}: {said[-300:]}"
    return "" if after >= before else f"the checkpoint went back from step {before} to {after}"


def main(trials: int) -> None:
    choice = random.Random(7)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan = ("simulate", f"--output={folder / 'scan.npz'}", "--object_px=96", "--patch_px=32", "--step_px=6")
        subprocess.run([sys.executable, "-m", "ptycho_torch", *scan, "--quiet"], check=True)
        checkpoint = folder / "out" / "checkpoints" / "last.ckpt"
        problems, resumed = [], 0
        for number in range(trials):
            problem = run_trial(folder, checkpoint, choice)
            if problem:
                problems.append(f"trial {number + 1}: {problem}")
            # the next start goes on from here, with one process, and ends at the next checkpoint
            step = read_step(checkpoint)
            if step:
                process = start(folder, checkpoint, step + 1, 1)
                _, said = process.communicate()
                resumed += process.returncode == 0 and read_step(checkpoint) == step + 1
                if process.returncode:
                    problems.append(f"trial {number + 1}: cannot be resumed: {said[-300:]}")
            else:
                resumed += 1
        print(f"{resumed} of {trials} resumed, {trials - len(problems)} of {trials} ended with a message")
        print(*problems, sep="\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
