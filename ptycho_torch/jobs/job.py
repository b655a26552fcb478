"""A job: a command line of this package with its schedule, its attempts and what has become of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self, get_args

from ptycho_torch.errors import DataError

State = Literal["waiting", "running", "done", "dead", "cancelled"]
STATES: tuple[str, ...] = get_args(State)
_MOST_WORDS = 1000
_LONGEST_WORD = 10_000
_TIMES = ("planned", "due", "added", "started", "ended", "lease_until")
_NUMBERS = ("number", "attempts", "attempts_allowed", "run", "exit_code")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job of a queue. Times are seconds since 1970, UTC.

    Attributes:
        number: its number in the queue.
        words: the command line, without the program's name.
        folder: the folder in which it runs.
        state: waiting, running, done, dead (a dead letter: all attempts failed) or cancelled.
        planned: when it was to be run.
        due: when it may be tried next; later than `planned` after a failure.
        every_s: period of a repeated job in seconds; None if it runs once.
        run: how often a repeated job was planned, this time included.
        attempts: how often it was begun.
        attempts_allowed: how often it may be begun.
        backoff_s: wait after the first failure in seconds, doubled with each further one.
        added: when it was added.
        started: when it was begun first.
        ended: when it ended.
        exit_code: exit code of the last attempt, negative for a signal.
        message: last words of the last attempt that failed.
        lease_until: until when its worker keeps it.
        token: what the worker that keeps it is known by.
        process: the process of the last attempt, as `jobs.process` writes it.
        is_cancelled: whether it was cancelled while it ran.
    """

    number: int
    words: tuple[str, ...]
    folder: Path
    state: State
    planned: float
    due: float
    every_s: float | None
    run: int
    attempts: int
    attempts_allowed: int
    backoff_s: float
    added: float
    started: float | None
    ended: float | None
    exit_code: int | None
    message: str | None
    lease_until: float | None
    token: str | None
    process: str | None
    is_cancelled: bool

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Make a job of a row, of which nothing is trusted.

        Raises:
            DataError: a value is none that this package writes.
        """
        values = {field.name: row[field.name] for field in fields(cls)}
        try:
            values["words"] = check_words(json.loads(_check_text(values["words"])))
        except (ValueError, RecursionError) as error:
            raise DataError(f"job {values['number']!r:.20}: its command line is not a list of words") from error
        values["folder"] = Path(_check_text(values["folder"]))
        values["is_cancelled"] = bool(values["is_cancelled"])
        if values["state"] not in STATES or not values["folder"].is_absolute():
            raise DataError(f"job {values['number']!r:.20}: its state or its folder is unknown")
        for name in (*_TIMES, "every_s", "backoff_s"):
            values[name] = _check_number(name, values[name])
        for name in _NUMBERS:
            _check_count(name, values[name])
        for name in ("message", "token", "process"):
            if values[name] is not None:
                _check_text(values[name])
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a program to read; times in ISO 8601."""
        values: dict[str, Any] = {
            "number": self.number,
            "state": self.state,
            "words": list(self.words),
            "folder": str(self.folder),
            "attempts": self.attempts,
            "attempts_allowed": self.attempts_allowed,
            "backoff_s": self.backoff_s,
            "every_s": self.every_s,
            "run": self.run,
            "exit_code": self.exit_code,
            "message": self.message,
        }
        return values | {name: format_time(getattr(self, name)) for name in _TIMES}

    def fill_words(self) -> tuple[str, ...]:
        """The command line with the planned time in place of `{time}` and the number of the run in place of `{run}`."""
        time = datetime.fromtimestamp(self.planned, UTC).strftime("%Y%m%dT%H%M%SZ")
        return tuple(word.replace("{time}", time).replace("{run}", str(self.run)) for word in self.words)


def check_words(words: object) -> tuple[str, ...]:
    """Check that something is a list of words that a process can be given.

    Raises:
        DataError: it is none, or too long.
    """
    if not isinstance(words, Sequence) or isinstance(words, str) or not 1 <= len(words) <= _MOST_WORDS:
        raise DataError(f"a command line is a list of 1 to {_MOST_WORDS} words")
    for word in words:
        if not isinstance(word, str) or len(word) > _LONGEST_WORD or "\0" in word or not _is_encodable(word):
            raise DataError(f"{ascii(word)[:60]} is no word of a command line")
    return tuple(words)


def format_time(seconds: float | None) -> str | None:
    """A time in ISO 8601, UTC, to the second; None for none."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _is_encodable(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_WORD * _MOST_WORDS or "\0" in value:
        raise DataError("a text of the queue is none, or too long")
    return value


def _check_number(name: str, value: object) -> float | None:
    if value is None and name in ("every_s", "started", "ended", "lease_until"):
        return None
    # 10^10 seconds are in the year 2286
    if not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 1e10:
        raise DataError(f"{name} of a job is {value!r:.40}; it must be a number of seconds")
    return float(value)


def _check_count(name: str, value: object) -> None:
    if value is None and name == "exit_code":
        return
    if not isinstance(value, int) or not -1000 <= value <= 2**53:
        raise DataError(f"{name} of a job is {value!r:.40}; it must be a count")
