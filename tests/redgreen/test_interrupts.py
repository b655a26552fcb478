"""An interrupted run leaves a folder that cannot read as valid, and no process."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from redgreen_sandbox import Sandbox, make_sandbox, target

from redgreen.codes import Verdict
from redgreen.evidence.sealed import load_run
from redgreen.evidence.verify_all import verify_all

SLOW = """\
import os
import subprocess
import sys
import time


def test_answer():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    subprocess.Popen([sys.executable, "-c", "import os, time; os.setsid(); time.sleep(300)"])
    open(os.environ["REDGREEN_TEST_FLAG"], "w").close()
    time.sleep(300)
"""


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    flag = tmp_path / "started"
    made = make_sandbox(tmp_path / "repo", target(extra="pass_env: [REDGREEN_TEST_FLAG]"))
    made.write("tests/test_demo.py", SLOW)
    made.commit()
    made.env["REDGREEN_TEST_FLAG"] = str(flag)
    return made


def start(sandbox: Sandbox) -> subprocess.Popen[str]:
    """Start a run, and wait until its test sleeps beside two processes of its own."""
    process = subprocess.Popen(
        sandbox.argv("run", "red", "demo"),
        cwd=sandbox.root, env=sandbox.environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: Path(sandbox.env["REDGREEN_TEST_FLAG"]).exists())
    return process


def wait_for(done: object, limit_s: float = 30) -> None:
    """Wait until something is true."""
    end = time.monotonic() + limit_s
    while not done():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def left_over(sandbox: Sandbox) -> list[str]:
    """Command lines of processes that carry the run's mark."""
    mark = f"REDGREEN_TEST_FLAG={sandbox.env['REDGREEN_TEST_FLAG']}".encode()
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            environ = Path(f"/proc/{name}/environ").read_bytes()
            command = Path(f"/proc/{name}/cmdline").read_bytes()
        except OSError:
            continue
        if mark in environ and command:
            found.append(command.decode(errors="replace"))
    return found


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are counted through /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_to_the_runner_ends_everything_and_seals_an_interrupted_run(
    sandbox: Sandbox, number: signal.Signals
) -> None:
    process = start(sandbox)
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 18
    assert out.rstrip().splitlines()[-1].startswith("REDGREEN 18 INTERRUPTED plans/")
    run = load_run(next(iter(sandbox.project.list_folders())))
    assert run.verdict is Verdict.INTERRUPTED
    assert verify_all(sandbox.project)[0] == []
    wait_for(lambda: not left_over(sandbox), 5)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are counted through /proc")
def test_a_killed_runner_leaves_no_process_and_nothing_valid(sandbox: Sandbox) -> None:
    process = start(sandbox)
    status = sandbox.run("status", "--json").values()
    assert [row["running"] for row in status["unfinished"]] == [True]
    assert sandbox.run("close").out.startswith("no run was left"), "a living run is left alone"
    process.kill()
    process.communicate()
    wait_for(lambda: not left_over(sandbox), 10)
    assert list(sandbox.project.list_folders()) == []
    assert any("never finished" in problem for problem in verify_all(sandbox.project)[0])
    assert "redgreen close" in sandbox.run("status").out
    assert sandbox.run("close").code == 0
    run = load_run(next(iter(sandbox.project.list_folders())))
    assert run.verdict is Verdict.ABANDONED
    assert verify_all(sandbox.project)[0] == []
    assert "ABANDONED" in sandbox.project.ledger.read_text(encoding="utf-8")
    assert sandbox.run("run", "green", "demo").code == 26


def test_a_budget_that_is_used_up_ends_the_group(sandbox: Sandbox) -> None:
    sandbox.registry(target(extra="pass_env: [REDGREEN_TEST_FLAG]\n    budget_s: 1.5"))
    done = sandbox.run("run", "red", "demo")
    assert (done.code, done.verdict) == (16, "TIMEOUT")
    assert left_over(sandbox) == []
