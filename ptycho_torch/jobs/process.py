"""The process of a job: started in a session of its own, known by its start, ended with all that it has started.

Its output goes to the log of the job, which is locked as long as any process of the job has it open. So the lock tells
whether an earlier attempt still runs, whatever has become of the worker that started it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from ptycho_torch.errors import OutputError

_PROC = Path("/proc")
_LAST_BYTES = 8192
_MOST_LINES = 8
_WAIT_S = 0.02
# escape sequences and other control characters, which could change what a terminal shows
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class JobProcess:
    """A running job.

    Args:
        words: the command line, without the program's name.
        folder: the folder in which it runs.
        log: the locked log, to which its output is written.
    """

    def __init__(self, words: Sequence[str], folder: Path, log: BinaryIO) -> None:
        # -P: the folder may contain files that are named like modules
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ptycho_torch", *words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.name = _name_process(self._process.pid)

    def find_exit_code(self) -> int | None:
        """Its exit code, negative for a signal, after which nothing that it has started is left; None while it runs."""
        pid = self._process.pid
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            return None
        # its number stays its own until it has been waited for
        self.kill()
        return self._process.wait()

    def ask_to_end(self) -> None:
        """Send it SIGTERM, on which a run leaves the best that it has found so far."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill it with all that it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def open_log(path: Path) -> BinaryIO | None:
    """Open and lock the log of a job; None while a process of an earlier attempt has it open.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError as error:
        file.close()
        raise OutputError(f"{path}: cannot be locked ({error.strerror or error})") from error
    return file


def read_end(path: Path, first: int = 0) -> str:
    """The last lines of a log from a byte on, as plain text; empty if there is nothing."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(first, size - _LAST_BYTES))
            text = file.read(_LAST_BYTES).decode(errors="replace")
    except OSError:
        return ""
    # a progress bar writes over its line
    lines = [_CONTROL.sub("", line.rpartition("\r")[2]).rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    return "\n".join([line for line in lines if line][-_MOST_LINES:])


def end_earlier(name: str | None, *, kill: bool) -> None:
    """End the process of an earlier attempt if it still runs: by SIGTERM, or kill it with all that it has started."""
    pid = _find_running(name)
    if pid is None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if kill:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGTERM)


def wait_briefly() -> None:
    """Wait until it makes sense to look at a process again."""
    time.sleep(_WAIT_S)


def _find_running(name: str | None) -> int | None:
    """The number of a process that is known by its name, if it or its group still exists."""
    parts = (name or "").split()
    if len(parts) != 3 or not parts[1].isdecimal() or int(parts[1][:10]) < 2 or parts[0] != _find_boot():
        return None
    pid = int(parts[1][:10])
    now = _find_start(pid)
    # without its first process a group keeps the number, which then belongs to no other process
    return pid if now in (parts[2], None) else None


def _name_process(pid: int) -> str:
    """What tells a process from any other, before and after a restart of the machine."""
    return f"{_find_boot()} {pid} {_find_start(pid)}"


def _find_boot() -> str:
    with contextlib.suppress(OSError):
        return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return "unknown"


def _find_start(pid: int) -> str | None:
    """When a process was started, in ticks since the start of the machine."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return fields[19]
    except (OSError, IndexError):
        return None
