"""Start the processes of this machine that work together, and end all of them if one is lost."""

from __future__ import annotations

import io
import itertools
import json
import logging
import mmap
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.multiprocessing import _prctl_pr_set_pdeathsig  # type: ignore[attr-defined]
from torch.multiprocessing.spawn import ProcessExitedException, start_processes

from ptycho_torch import errors
from ptycho_torch.errors import ConfigError, PtychoError, RankError
from ptycho_torch.runtime.interrupts import Interrupted
from ptycho_torch.runtime.logs import quiet_lightning
from ptycho_torch.runtime.ranks import LAUNCH_VARIABLE, Ranks

_REFUSED = 3
# arrays from this size on lie in files of their own, of which every process reads what it uses
_LARGE_BYTES = 2**20
_GRACE_SECONDS = 5.0

T = TypeVar("T")
_Arrays = dict[str, NDArray[Any]]


def launch(
    ranks: Ranks,
    function: Callable[..., T],
    *arguments: Any,  # noqa: ANN401
    answers_signals: bool = False,
    **options: Any,  # noqa: ANN401
) -> T:
    """Call a function in every process of the machine and return the result of the first one.

    Args:
        ranks: how many processes to start.
        function: found by its name in the new processes, which import the module of the program: a script needs
            `if __name__ == "__main__":`.
        arguments: its arguments.
        answers_signals: whether the function answers the first SIGINT or SIGTERM itself.
        options: its keyword arguments; `progress` is called in this process.

    Raises:
        PtychoError: that of the process that failed first.
        Interrupted: a signal ended the processes.
        RankError: a process ended without a message.
        ConfigError: the arguments cannot be sent to other processes.
    """
    progress = options.pop("progress", None)
    receiver, sender = multiprocessing.get_context("spawn").Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="ptycho_torch-") as name:
        folder = Path(name)
        with _explain_unsendable():
            sent = _store((function, arguments, options, answers_signals), folder, "call")
        threads = max(1, torch.get_num_threads() // ranks.size)
        level = logging.getLogger("ptycho_torch").getEffectiveLevel()
        started = start_processes(
            _run, (folder, ranks.size, threads, level, sender if progress else None), ranks.size, join=False
        )
        relay, signals = _Relay(receiver, progress), _Signals(started.processes)
        try:
            with signals.forward_first() if answers_signals else _interrupt_on_sigterm():
                while not started.join(timeout=0.05, grace_period=_GRACE_SECONDS):
                    relay.forward()
        except ProcessExitedException:
            raise _find_error(folder, started.processes, signals.received) from None
        finally:
            for process in started.processes:
                process.kill()
        relay.forward()
        result: T = _load(folder, "result", sent)
        return result


def _run(rank: int, folder: Path, size: int, threads: int, level: int, sender: Connection | None) -> None:
    """Body of each process; it ends with the process that started it, also if the terminal's signals are ignored."""
    _prctl_pr_set_pdeathsig(signal.SIGKILL)
    # Lightning reads the local rank
    os.environ |= {"LOCAL_RANK": str(rank), LAUNCH_VARIABLE: f"{rank} {size} {folder / 'store'}"}
    torch.set_num_threads(threads)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("ptycho_torch").setLevel(level if rank == 0 else logging.ERROR)
    function, arguments, options, answers_signals = _load(folder, "call", None)
    # after the function's module, which may import it
    quiet_lightning()
    if rank == 0 and sender is not None:
        options["progress"] = _Remote(sender, 0, itertools.count(1))
    if answers_signals:
        # a terminal sends its signals to the process that started this one, which forwards them once
        os.setpgrp()
    try:
        result = function(*arguments, **options)
    except (PtychoError, Interrupted) as error:
        (folder / f"error-{rank}.json").write_text(json.dumps([type(error).__name__, str(error)]), encoding="utf-8")
        sys.exit(_REFUSED)
    except KeyboardInterrupt:
        # before the function could answer the signal
        sys.exit(_REFUSED)
    if rank == 0:
        _store(result, folder, "result")


@contextmanager
def _interrupt_on_sigterm() -> Iterator[None]:
    """Treat a request to end as an interruption, which ends the started processes as well."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


class _Signals:
    """Requests to end, as they reach this process.

    Attributes:
        received: name of the first one; empty if there was none.
    """

    def __init__(self, processes: Sequence[SpawnProcess]) -> None:
        self.received = ""
        self._processes = processes
        self._usual: dict[int, Any] = {}

    @contextmanager
    def forward_first(self) -> Iterator[None]:
        """Forward the first request to the started processes; a second one has its usual effect."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            self._usual[number] = signal.signal(number, self._forward)
        try:
            yield
        finally:
            self._release()

    def _forward(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        self._release()
        for process in self._processes:
            # the number of one that has ended may be that of another program by now
            if process.pid and process.is_alive():
                os.kill(process.pid, number)

    def _release(self) -> None:
        while self._usual:
            signal.signal(*self._usual.popitem())


def _find_error(folder: Path, processes: list[Any], signal_name: str) -> PtychoError | Interrupted:
    """The error of the process that failed first, as far as this is known: the others lose it, or are ended."""
    ended = {rank: process.exitcode for rank, process in enumerate(processes) if process.exitcode}
    found: list[PtychoError | Interrupted] = []
    for path in sorted(folder.glob("error-*.json"), key=lambda path: path.stat().st_mtime_ns):
        name, text = json.loads(path.read_text(encoding="utf-8"))
        found.append(Interrupted(text) if name == Interrupted.__name__ else getattr(errors, name, PtychoError)(text))
    causes = [error for error in found if not isinstance(error, RankError)]
    if causes:
        return causes[0]
    if signal_name:
        return Interrupted(signal_name)
    # a process that loses another one may abort
    for rank, code in sorted(ended.items(), key=lambda item: item[1] == -signal.SIGABRT):
        if code < 0 and code != -signal.SIGTERM:
            return RankError(
                f"process {rank} of {len(processes)} was ended by {signal.Signals(-code).name}, and the others after "
                "it; a training goes on from its last checkpoint with --resume"
            )
    if found:
        return found[0]
    rank, code = next(iter(ended.items()))
    return RankError(f"process {rank} of {len(processes)} ended with exit code {code}; its message is above")


class _Remote:
    """A callback of the process that started this one; what a call returns is a callback again."""

    def __init__(self, sender: Connection, number: int, numbers: Iterator[int]) -> None:
        self._sender, self._number, self._numbers = sender, number, numbers

    def __call__(self, *arguments: object) -> _Remote:
        result = next(self._numbers)
        self._sender.send((self._number, arguments, result))
        return _Remote(self._sender, result, self._numbers)


class _Relay:
    """Calls the callbacks that the first process asks for."""

    def __init__(self, receiver: Connection, callback: Callable[..., Any] | None) -> None:
        self._receiver = receiver
        self._callbacks: dict[int, Callable[..., Any]] = {0: callback} if callback else {}

    def forward(self) -> None:
        while self._receiver.poll():
            number, arguments, result = self._receiver.recv()
            found = self._callbacks[number](*arguments)
            if callable(found):
                self._callbacks[result] = found


class _Pickler(pickle.Pickler):
    """Keeps large arrays in files of their own."""

    def __init__(self, file: io.BufferedWriter, folder: Path, name: str) -> None:
        super().__init__(file)
        self._folder, self._name = folder, name
        self.stored: _Arrays = {}

    def persistent_id(self, value: object) -> str | None:
        if not isinstance(value, np.ndarray) or value.nbytes < _LARGE_BYTES or value.dtype.hasobject:
            return None
        base: object = value.base
        if isinstance(value, np.memmap) and isinstance(base, mmap.mmap) and value.filename is not None:
            path = Path(value.filename)
            if path.parent == self._folder.resolve():
                # an array that was sent returns under its own name
                return path.name
        name = f"{self._name}-{len(self.stored)}.npy"
        np.save(self._folder / name, value)
        self.stored[name] = value
        return name


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BufferedReader, folder: Path, known: _Arrays | None) -> None:
        super().__init__(file)
        self._folder, self._known = folder, known

    def persistent_load(self, name: str) -> NDArray[Any]:
        if self._known is None:
            return np.load(self._folder / name, mmap_mode="r")
        return self._known[name] if name in self._known else np.load(self._folder / name)


def _store(value: object, folder: Path, name: str) -> _Arrays:
    """Write a value; returns its large arrays by the names of their files."""
    with (folder / f"{name}.pickle").open("wb") as file:
        pickler = _Pickler(file, folder, name)
        pickler.dump(value)
    return pickler.stored


def _load(folder: Path, name: str, known: _Arrays | None) -> Any:  # noqa: ANN401
    """Read a value; large arrays are those known by the names of their files, read, or, without any, mapped."""
    # the folder is private to this user, and its files were written by processes of this call
    with (folder / f"{name}.pickle").open("rb") as file:
        return _Unpickler(file, folder, known).load()


@contextmanager
def _explain_unsendable() -> Iterator[None]:
    try:
        yield
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"an argument cannot be sent to other processes ({error}); start the script with torchrun instead"
        ) from error
