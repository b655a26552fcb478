"""Kill the workers of a queue with SIGKILL at random moments, and see what has become of the jobs.

Two workers share a queue of small jobs: commands that print their settings, one in twenty-five that simulates a scan
into a file, one that is repeated, and three poisoned ones, whose workers are killed each time that they run. Workers
that were killed are replaced. Moments are random over all that a worker does: take a job, start its process, wait for
it, write what has become of it.

It fails if a job is lost, if two processes of one job ever run at the same time, if a file is not whole, if a
repetition is lost or doubled, or if a poisoned job is anything but a dead letter with last words.

    python tests/benchmarks/kill_jobs.py [KILLS]
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.context import ForkProcess
from pathlib import Path

import numpy as np

from ptycho_torch.cli.jobs import check_command_line
from ptycho_torch.config.jobs import WorkerSettings
from ptycho_torch.errors import ConfigError
from ptycho_torch.jobs.queue import Queue
from ptycho_torch.jobs.worker import Worker

SETTINGS = WorkerSettings(lease_s=2.0, poll_s=0.05, grace_s=0.5)
WORKERS = 2
POISON = 3
# so many attempts are not lost by chance
ATTEMPTS = 60
WAITING = 3
SIMULATION = ("--object_px=64", "--patch_px=16", "--probe=gaussian", "--probe_diameter_px=8", "--step_px=8")


def run_worker(path: Path) -> None:
    """Work on the queue until killed, without its output."""
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    Worker(Queue(path), SETTINGS, check_command_line).run(until_empty=False)


def start_worker(path: Path) -> ForkProcess:
    process = multiprocessing.get_context("fork").Process(target=run_worker, args=(path,))
    process.start()
    return process


def find_running(folder: Path) -> dict[int, list[tuple[int, int]]]:
    """Running processes of jobs, and their parents, by the seed that each job has as its mark."""
    found: dict[int, list[tuple[int, int]]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            is_own = (entry / "cwd").readlink() == folder and b"ptycho_torch" in words
        except OSError:
            continue
        seed = next((int(word[7:]) for word in words if word.startswith(b"--seed=")), None)
        if is_own and seed is not None and fields[0] != "Z":
            found.setdefault(seed, []).append((int(entry.name), int(fields[1])))
    return found


class Trial:
    """One queue with its workers and what was seen of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.queue = Queue(folder / "jobs.sqlite", create=True)
        self.workers = [start_worker(self.queue.path) for _ in range(WORKERS)]
        self.jobs = 0
        self.kills = 0
        self.twice: set[int] = set()
        for _ in range(POISON):
            self.add(attempts=3)
        self.add(every_s=3.0)

    def add(self, *, attempts: int = ATTEMPTS, every_s: float | None = None) -> None:
        """Add a job whose seed is its number."""
        self.jobs += 1
        number = self.jobs
        words: tuple[str, ...] = ("simulate", f"--seed={number}", *SIMULATION)
        is_file = number % 25 == 0
        words += (f"--output={self.folder / f'{number}.npz'}",) if is_file else ("--print_config",)
        self.queue.add(words, self.folder, attempts=attempts, backoff_s=0.1, every_s=every_s)

    def look(self) -> None:
        """Note jobs that run twice at the same time, and kill the workers of poisoned ones."""
        for seed, processes in find_running(self.folder).items():
            # a process that is about to become the command still has the words of its worker
            if len(processes) > 1:
                self.twice.add(seed)
            if seed <= POISON:
                for worker in self.workers:
                    if worker.pid == processes[0][1]:
                        self.kill(worker)

    def kill(self, worker: ForkProcess) -> None:
        """Kill a worker and start another one."""
        os.kill(worker.pid or 0, signal.SIGKILL)
        worker.join()
        self.workers[self.workers.index(worker)] = start_worker(self.queue.path)

    def run(self, kills: int, choice: random.Random) -> None:
        """Kill so many workers while jobs are added, then let the queue become empty."""
        moment = time.monotonic()
        while self.kills < kills or self.queue.has_work():
            time.sleep(0.01)
            self.look()
            if self.kills < kills and time.monotonic() >= moment:
                self.kill(choice.choice(self.workers))
                self.kills += 1
                moment = time.monotonic() + choice.uniform(0, 2.5)
                if sum(job.state == "waiting" for job in self.queue.list_jobs()) < WAITING:
                    self.add()
            elif self.kills == kills:
                self.end_repetition()
        for worker in self.workers:
            worker.terminate()
            worker.join()

    def end_repetition(self) -> None:
        """Cancel the next repetition, which would keep the queue from becoming empty."""
        for job in self.queue.list_jobs("waiting"):
            # it may be taken at this moment
            with contextlib.suppress(ConfigError):
                if job.every_s:
                    self.queue.cancel(job.number)

    def report(self) -> list[str]:
        """Print what has become of the jobs; returns what went wrong."""
        jobs = self.queue.list_jobs()
        problems = [f"job {seed} ran twice at the same time" for seed in sorted(self.twice)]
        last = max(job.run for job in jobs if job.every_s)
        for job in jobs:
            poisoned = job.number <= POISON
            if poisoned and (job.state != "dead" or "was lost in each of 3 attempts" not in str(job.message)):
                problems.append(f"the poisoned job {job.number} is {job.state}: {job.message}")
            if not poisoned and job.state != ("cancelled" if job.every_s and job.run == last else "done"):
                problems.append(f"job {job.number} is {job.state}: {job.message}")
            path = next((Path(word[9:]) for word in job.words if word.startswith("--output=")), None)
            if job.state == "done" and path:
                with np.load(path) as stored:
                    assert stored["diff3d"].ndim == 3
        runs = Counter(job.run for job in jobs if job.every_s)
        if sorted(runs) != list(range(1, len(runs) + 1)) or set(runs.values()) != {1}:
            problems.append(f"repetitions are lost or doubled: {runs}")
        done = [job for job in jobs if job.state == "done"]
        once = sum(job.attempts == 1 for job in done)
        lost = sum(job.state in ("waiting", "running") for job in jobs)
        print(f"{self.kills} kills of workers at random moments, and those of {POISON} poisoned jobs")
        print(
            f"done once {once}, again {len(done) - once} (at most {max(job.attempts for job in done)} attempts), ",
            end="",
        )
        print(f"lost {lost}, dead letters {sum(job.state == 'dead' for job in jobs)}, ", end="")
        print(f"repetitions {len(runs) - 1}, two at the same time {len(self.twice)}")
        return problems


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as name:
        trial = Trial(Path(name).resolve())
        trial.run(count, random.Random(0))
        failures = trial.report()
    print("\n".join(failures) or "no job was lost, run beside itself, or done wrongly")
    sys.exit(1 if failures else 0)
