"""Real pytest sessions at the price of a fork: this program imports pytest once and forks itself for each session.

It imports nothing of redgreen, so that its sessions see what those of another interpreter would see.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest


def serve() -> None:
    """Fork for each line of standard input; answer with return code and whether the time was up."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        test = Path(folder) / "test_first.py"  # a first session imports, and compiles, what every session needs
        test.write_text("def test_it():\n    assert 1 == 2\n", encoding="utf-8")
        pytest.main(["--color=yes", "--rootdir", folder, f"--junit-xml={folder}/junit.xml", str(test)])
    gc.freeze()  # the sessions collect garbage, and need not look at what is here already
    for line in iter(sys.stdin.readline, ""):
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            sys.exit(run_session(job))
        end = time.monotonic() + job["budget_s"]
        status = timed_out = None
        while status is None:
            found, code = os.waitpid(child, os.WNOHANG)
            if found:
                status = code
            elif time.monotonic() > end and not timed_out:
                os.killpg(child, signal.SIGKILL)
                timed_out = True
            else:
                time.sleep(0.002)
        sys.stdout.write(json.dumps([os.waitstatus_to_exitcode(status), bool(timed_out)]) + "\n")
        sys.stdout.flush()


def run_session(job: dict[str, object]) -> int:
    """Become what `python -m pytest` would be in that folder and environment."""
    os.setsid()
    log = os.open(str(job["log"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(source, descriptor)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - lives as long as the process
    env, argv = job["env"], job["argv"]
    assert isinstance(env, dict)
    assert isinstance(argv, list)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(str(job["cwd"]))
    sys.path[:0] = [str(job["cwd"]), *env.get("PYTHONPATH", "").split(os.pathsep)]
    sys.argv = ["pytest", *argv]
    return pytest.console_main()


if __name__ == "__main__":
    serve()
