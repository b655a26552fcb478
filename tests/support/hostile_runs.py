"""Commands called with hostile input in a child process, one after the other, each of which is watched."""

from __future__ import annotations

import contextlib
import io
import logging
import multiprocessing
import os
import resource
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from ptycho_torch.cli.main import main
from ptycho_torch.runtime.messages import LONGEST_LINE

# wall time after which a command counts as one that hangs; the machine may be busy
PATIENCE_S = 120.0
Words = Sequence[str]


@dataclass(frozen=True)
class Outcome:
    """What became of a command.

    Attributes:
        code: its exit code; None if it raised, hung or ended its process.
        said: standard error.
        seconds: processor time.
        problem: empty, or what a user must not see.
        peak_bytes: most memory that the process has used so far.
    """

    code: int | None
    said: str
    seconds: float
    problem: str = ""
    peak_bytes: int = 0


def watch(cases: Iterable[Words], folder: Path) -> Iterator[Outcome]:
    """Call commands with their words inside a folder; a process that is lost or hangs is replaced.

    Args:
        cases: words of each command; an item is taken when the command before it has ended.
        folder: working directory.
    """
    context = multiprocessing.get_context("fork")
    child: multiprocessing.process.BaseProcess | None = None
    for words in cases:
        if child is None or not child.is_alive():
            ours, theirs = context.Pipe()
            child = context.Process(target=_serve, args=(theirs, folder), daemon=True)
            child.start()
        ours.send(list(words))
        try:
            lost = not ours.poll(PATIENCE_S)
            outcome = Outcome(None, "", PATIENCE_S, "hangs") if lost else ours.recv()
        except (EOFError, OSError):
            child.join()
            lost, outcome = True, Outcome(None, "", 0.0, f"ended its process with {child.exitcode}")
        if lost:
            child.kill()
            child.join()
            child = None
        yield outcome
    if child is not None:
        child.kill()
        child.join()


def _serve(connection: Connection, folder: Path) -> None:
    os.chdir(folder)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    while True:
        connection.send(call(connection.recv()))


def call(words: Words) -> Outcome:
    """Call a command in this process."""
    said, started, problem = io.StringIO(), time.process_time(), ""
    code: int | None = None
    # made anew by the command, for the stream that is in place now
    logging.getLogger().handlers.clear()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = main(words)
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:  # noqa: BLE001 - whatever escapes is what is looked for
            problem = traceback.format_exc()
    text, seconds = said.getvalue(), time.process_time() - started
    if not problem and "Traceback" in text:
        problem = "a traceback is shown"
    elif not problem and code not in (0, 2, 3, 4, 5):
        problem = f"exit code {code}"
    elif code == 2:
        problem = _judge(text)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Outcome(code, text[-4000:], seconds, problem, peak)


def _judge(text: str) -> str:
    """What is wrong with a complaint."""
    lines = text.splitlines()
    if not lines:
        return "no message"
    if any(len(line) > 2 * LONGEST_LINE for line in lines):
        return f"a line of {max(map(len, lines))} characters"
    # warnings may precede the complaint
    if not lines[-1].startswith("ptycho-torch"):
        return "the last line is no complaint"
    return "control characters" if any(not letter.isprintable() for line in lines for letter in line) else ""


def list_files(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of the last change of all files below a folder."""
    found = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if not path.is_dir():
                found[str(path.relative_to(folder))] = (status.st_size, status.st_mtime_ns)
    return found
