from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ptycho_torch.cli.jobs import check_command_line
from ptycho_torch.cli.main import main
from ptycho_torch.config.jobs import WorkerSettings
from ptycho_torch.jobs.job import Job
from ptycho_torch.jobs.queue import Queue
from ptycho_torch.jobs.worker import Worker

# a command without torch
QUICK = ("refine", "--print_config")
SETTINGS = WorkerSettings(lease_s=1.0, poll_s=0.05, grace_s=0.5)
OPTIONS = ("--lease_s=1", "--poll_s=0.05", "--grace_s=0.5")
PATIENCE_S = 60.0


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return Queue(tmp_path / "jobs.sqlite", create=True)


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(queue: Queue) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def begin(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ptycho_torch", "jobs", "run", f"--queue={queue.path}", *OPTIONS, *words]
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.005)


def stop_child(queue: Queue, number: int = 1) -> int:
    """Wait until a job has a process, and stop it, so that it does not end by itself; returns its number."""
    wait_for(lambda: queue.find(number).process is not None)
    pid = int(str(queue.find(number).process).split()[1])
    os.kill(pid, signal.SIGSTOP)
    return pid


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def count_attempts(queue: Queue, number: int) -> int:
    return queue.find_log(number).read_text().count("--- ")


def work(queue: Queue) -> Worker:
    worker = Worker(queue, SETTINGS, check_command_line)
    worker.run(until_empty=True)
    return worker


def test_two_workers_do_each_job_once(queue: Queue, start: Start, tmp_path: Path) -> None:
    for _ in range(4):
        queue.add(QUICK, tmp_path)
    workers = [start("--until_empty"), start("--until_empty")]
    assert [worker.wait(PATIENCE_S) for worker in workers] == [0, 0]
    assert [(job.state, job.attempts) for job in queue.list_jobs()] == [("done", 1)] * 4
    assert [count_attempts(queue, number) for number in (1, 2, 3, 4)] == [1] * 4
    assert "method:" in queue.find_log(1).read_text()


def test_the_job_of_a_killed_worker_is_run_again_after_the_old_process_was_ended(
    queue: Queue, start: Start, tmp_path: Path
) -> None:
    queue.add(QUICK, tmp_path)
    first = start()
    orphan = stop_child(queue)
    first.kill()
    first.wait()
    assert is_running(orphan)
    worker = start("--until_empty")
    # as long as the old process is there, no second one begins
    wait_for(lambda: count_attempts(queue, 1) == 2 or not is_running(orphan))
    assert not is_running(orphan)
    assert worker.wait(PATIENCE_S) == 0
    assert (queue.find(1).state, queue.find(1).attempts, count_attempts(queue, 1)) == ("done", 2, 2)


def test_a_worker_that_is_asked_to_end_gives_its_job_back(queue: Queue, start: Start, tmp_path: Path) -> None:
    queue.add(QUICK, tmp_path)
    worker = start()
    child = stop_child(queue)
    worker.terminate()
    assert worker.wait(PATIENCE_S) == 128 + signal.SIGTERM
    assert not is_running(child)
    assert (queue.find(1).state, queue.find(1).attempts) == ("waiting", 0)


def test_a_job_that_is_cancelled_while_it_runs_is_ended(queue: Queue, start: Start, tmp_path: Path) -> None:
    queue.add(QUICK, tmp_path)
    start()
    child = stop_child(queue)
    assert main(["jobs", "cancel", "1"]) == 0
    wait_for(lambda: queue.find(1).state == "cancelled")
    assert not is_running(child)


def test_a_job_that_fails_ends_in_the_dead_letters_with_its_last_words(queue: Queue, tmp_path: Path) -> None:
    queue.add(("convert", "missing.npz", "--output=scan.npz"), tmp_path, attempts=2, backoff_s=0.01)
    job = queue.take(60)
    assert job is not None
    queue.fail(job, 1, "no luck")
    assert work(queue).dead == 1
    job = queue.find(1)
    assert (job.state, job.attempts, job.exit_code) == ("dead", 2, 2)
    assert "missing.npz: the file or folder does not exist" in str(job.message)


def test_a_job_whose_workers_are_lost_again_and_again_ends_in_the_dead_letters(queue: Queue, tmp_path: Path) -> None:
    queue.add(QUICK, tmp_path, attempts=2)
    for _ in range(2):
        assert queue.take(0.001) is not None
        time.sleep(0.01)
    work(queue)
    job = queue.find(1)
    assert (job.state, job.attempts) == ("dead", 2)
    assert job.message == "its worker was lost in each of 2 attempts"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["sh", "-c", "touch evil"], "is not a command that a job can run"),
        (["jobs", "run"], "is not a command that a job can run"),
        (["-c", "touch evil"], "is not a command that a job can run"),
        (["refine", "--evil"], "unrecognized arguments"),
        (["refine", "--epochs", "ten"], "invalid int value"),
        (["refine", "--help"], "unrecognized arguments"),
    ],
)
def test_only_commands_of_this_package_are_run(
    queue: Queue, tmp_path: Path, words: list[str], complaint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    queue.add(QUICK, tmp_path, attempts=5)
    queue.close()
    with sqlite3.connect(queue.path) as connection:
        connection.execute("UPDATE jobs SET words = ?", (json.dumps(words),))
    connection.close()
    opened = Queue(queue.path)
    work(opened)
    job = opened.find(1)
    assert (job.state, job.attempts, job.process) == ("dead", 1, None)
    assert complaint in str(job.message)
    assert not list(tmp_path.glob("*evil*"))
    assert capfd.readouterr().out == ""
    assert main(["jobs", "add", "--", *words]) == 2


def test_modules_in_the_folder_of_a_job_are_not_loaded(queue: Queue, tmp_path: Path) -> None:
    for name in ("numpy.py", "ptycho_torch.py", "sitecustomize.py", "argparse.py"):
        (tmp_path / name).write_text("raise SystemExit(9)")
    queue.add(QUICK, tmp_path)
    work(queue)
    assert queue.find(1).exit_code == 0


def test_the_log_is_not_written_through_a_link(queue: Queue, tmp_path: Path) -> None:
    queue.add(QUICK, tmp_path)
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    queue.log_folder.mkdir()
    queue.find_log(1).symlink_to(precious)
    assert main(["jobs", "run", "--until_empty"]) == 2
    assert precious.read_text() == "mine"


def read(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["jobs", *words]) == 0
    return capsys.readouterr().out


def test_jobs_are_listed_shown_and_tried_again(
    queue: Queue, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        read(capsys, "add", "--attempts=1", "convert", "missing.npz", "--output", "\x1b[2Jscan.npz") == "job 1: added\n"
    )
    assert "for 2" in read(capsys, "add", "--at=+2h", "--every", "1d", "--", *QUICK)
    assert json.loads(read(capsys, "add", "--json", "--at=+3h", *QUICK))["words"] == [*QUICK]
    assert main(["jobs", "run", "--until_empty", "--quiet"]) == 3
    capsys.readouterr()
    table = read(capsys, "list").splitlines()
    assert table[1].split()[:4] == ["1", "dead", "1/1", "2"]
    assert table[2].split()[:3] == ["2", "waiting", "0/3"]
    assert " 1d " in table[2]
    assert "\x1b" not in "".join(table)
    values = json.loads(read(capsys, "list", "--json", "--state", "dead"))["jobs"]
    assert [(job["number"], job["state"], job["exit_code"]) for job in values] == [(1, "dead", 2)]
    shown = read(capsys, "show", "1")
    assert "last words:\n    exit code 2\n    ptycho-torch convert: missing.npz" in shown
    assert json.loads(read(capsys, "show", "1", "--json"))["words"][1] == "missing.npz"
    assert read(capsys, "retry", "1") == "job 1: waiting\n"
    assert read(capsys, "cancel", "1", "2") == "job 1: cancelled\njob 2: cancelled\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["list"], "there is no such queue"),
        (["add"], "a command is missing"),
        (["add", "--every", "often", *QUICK], "is not a duration"),
        (["add", "--attempts", "0", *QUICK], "--attempts is 0; it must be at least 1"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["jobs", *words]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_job_number_that_does_not_exist_is_named(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    queue.close()
    for action in ("show", "cancel", "retry"):
        assert main(["jobs", action, "7"]) == 2
        assert "has no job 7" in capsys.readouterr().err


def test_the_process_of_a_job_is_known(queue: Queue, tmp_path: Path) -> None:
    job: Job = queue.add(QUICK, tmp_path)
    assert job.process is None
    work(queue)
    assert len(str(queue.find(1).process).split()) == 3
