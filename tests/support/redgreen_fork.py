"""Real pytest sessions at the price of a fork: a process imports pytest once and forks itself for each session."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

import pytest


class ForkServer:
    """Runs pytest sessions, each in a process and a process group of its own."""

    def __enter__(self) -> ForkServer:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def run(self, argv: list[str], *, cwd: Path, env: dict[str, str], log: Path, budget_s: float) -> tuple[int, bool]:
        """Run one session; its return code, and whether it was ended because its time was up."""
        job = {"argv": argv, "cwd": str(cwd), "env": env, "log": str(log), "budget_s": budget_s}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        rc, timed_out = json.loads(self._process.stdout.readline())
        return rc, timed_out


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
