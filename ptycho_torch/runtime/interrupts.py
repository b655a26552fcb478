"""Interruptions: signals that ask a run to end, which it answers with the best that it has found so far."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ptycho_torch.runtime.ranks import ALONE, Ranks

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal has asked the run to end.

    Attributes:
        signal_name: which, as in `SIGINT`.
    """

    def __init__(self, signal_name: str) -> None:
        super().__init__(signal_name)
        self.signal_name = signal_name


def find_exit_code(signal_name: str) -> int:
    """The exit code of a program that a signal has ended, as shells report it."""
    return 128 + signal.Signals[signal_name]


class Interrupts:
    """The first SIGINT or SIGTERM that a run receives; a second one has its usual effect.

    Inside `allow`, a process that works alone raises Interrupted at once. Processes that work together raise it all at
    the same place, by `check`, since none of them can go on without the others.

    Attributes:
        received: name of the signal; empty if none was received.
    """

    def __init__(self) -> None:
        self.received = ""
        self._ranks = ALONE
        self._is_allowed = False
        self._usual: dict[signal.Signals, Any] = {}

    @contextmanager
    def catch(self, ranks: Ranks) -> Iterator[None]:
        """Take note of signals inside the block; outside of the main thread of a process they cannot be caught.

        Args:
            ranks: the place of this process; those that work together find each other in `check`.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._ranks = ranks
        self._usual = {number: signal.signal(number, self._take) for number in _SIGNALS}
        try:
            yield
        finally:
            self._release()

    @contextmanager
    def allow(self) -> Iterator[None]:
        """Let signals interrupt the block, also one that was received before."""
        self._is_allowed = True
        try:
            if self._ranks.size == 1:
                self._raise(self.received)
            yield
        finally:
            self._is_allowed = False

    def check(self) -> None:
        """Raise Interrupted if any of several processes has received a signal; all of them must call this."""
        if self._ranks.size > 1 and self._is_allowed:
            self.received = max(self._ranks.gather(self.received))
            self._raise(self.received)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        self._release()
        if self._is_allowed and self._ranks.size == 1:
            self._raise(self.received)

    def _raise(self, signal_name: str) -> None:
        if signal_name:
            self._is_allowed = False
            raise Interrupted(signal_name)

    def _release(self) -> None:
        for number, handler in self._usual.items():
            signal.signal(number, handler)
        self._usual = {}
