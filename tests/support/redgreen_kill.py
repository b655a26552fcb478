"""A process that is killed before it changes the names below plans/ for the nth time."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir"}


def run_killed(function: Callable[[], object], step: int) -> bool:
    """Run a function in a process of its own, which is killed before its step; return whether it came so far."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            left = step

            def count(event: str, arguments: tuple[object, ...]) -> None:
                nonlocal left
                if event in CHANGES and any("/plans/" in str(argument) for argument in arguments):
                    left -= 1
                    if left == 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(count)
            function()
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), f"the process ended with {status}"
    return status == signal.SIGKILL


def kill_at_each_step(prepare: Callable[[], Callable[[], object]]) -> Iterator[int]:
    """Yield after each kill; `prepare` makes the state anew, and the function that is to be killed in it."""
    step = 1
    while run_killed(prepare(), step):
        yield step
        step += 1
    assert step > 1, "nothing was changed"
