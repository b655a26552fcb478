"""One child process: its own group, its output shown and logged, its time limited, nothing of it left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from redgreen.run import watchdog

GRACE_S: Final = 3.0  # between the first polite signal and the kill
TICK_S: Final = 0.05  # how often signals and the clock are looked at
STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Finished:
    """How a child ended: `rc` is negative for a signal; `interrupted` names the signal that made the runner end it."""

    rc: int
    timed_out: bool
    interrupted: str
    wall_s: float


class Interrupts:
    """Holds SIGINT, SIGTERM and SIGHUP back while it is entered, and remembers which came first.

    The handlers are set explicitly: a background job inherits an ignored SIGINT.
    """

    def __init__(self) -> None:
        self.name = ""
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.name = self.name or signal.Signals(number).name


def run_child(
    argv: list[str],
    *,
    env: dict[str, str],
    cwd: Path,
    budget_s: float,
    outputs: list[Callable[[bytes], object]],
    interrupts: Interrupts,
    folder: Path,
) -> Finished:
    """Run a child to its end, or to the end of its time.

    `REDGREEN_RUN_ID` in its environment marks the processes of the run. Every chunk of its output goes to `outputs`, in
    order; `interrupts` end it; `folder`, the run's temporary one, is removed if the runner itself is killed.

    Raises:
        OSError: The child cannot be started, or an output cannot be written.
    """
    begun = time.monotonic()
    child = subprocess.Popen(
        argv,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    mark = env["REDGREEN_RUN_ID"]
    assert child.stdout is not None
    errors: list[OSError] = []
    reader = threading.Thread(target=_pass_on, args=(child.stdout.fileno(), outputs, errors), daemon=True)
    with _watch(child.pid, mark, folder):
        try:
            reader.start()
            timed_out = _wait(child, reader, begun + budget_s, interrupts)
        finally:
            watchdog.end_group(child.pid)
            child.wait()
            watchdog.end_marked(mark)
            reader.join(GRACE_S)
    if not reader.is_alive():
        child.stdout.close()
    if errors:
        raise errors[0]
    return Finished(child.returncode, timed_out, interrupts.name, time.monotonic() - begun)


def _pass_on(pipe: int, outputs: list[Callable[[bytes], object]], errors: list[OSError]) -> None:
    """Pass a pipe on to its end; after a failed output the reading goes on, so that the child never blocks."""
    while chunk := os.read(pipe, 65536):
        for output in outputs:
            try:
                output(chunk)
            except OSError as error:
                errors.append(error)


def _wait(child: subprocess.Popen[bytes], reader: threading.Thread, deadline: float, interrupts: Interrupts) -> bool:
    """Wait for the child; end it when its time is up or the runner is told to stop. True if its time was up."""
    while not interrupts.name and time.monotonic() < deadline:
        # The end of the output is the fastest sign of the end; a grandchild may keep the pipe open, hence the poll.
        reader.join(min(TICK_S, max(0.0, deadline - time.monotonic())))
        if child.poll() is not None:
            return False
        if not reader.is_alive():
            time.sleep(TICK_S / 20)
    timed_out = not interrupts.name
    for number in (signal.SIGINT, signal.SIGTERM):
        watchdog.end_group(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S / 2)
            break
    return timed_out


@contextlib.contextmanager
def _watch(group: int, mark: str, folder: Path) -> Iterator[None]:
    """Keep a watchdog beside the child that outlives the runner."""
    dog = subprocess.Popen(
        [sys.executable, "-I", "-S", watchdog.__file__, str(group), mark, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={"PATH": os.environ.get("PATH", os.defpath)},
    )
    try:
        yield
    finally:
        assert dog.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            dog.stdin.write(b".")
            dog.stdin.close()
        dog.wait()
