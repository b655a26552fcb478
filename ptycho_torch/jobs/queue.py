"""A queue of jobs in one SQLite file, from which each worker takes one job at a time.

A worker takes a job with a lease and renews it; that of a killed one ends, after which another worker takes the job.
What a worker writes counts only as long as the job is still its own. Every change is one transaction.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from ptycho_torch.errors import ConfigError, DataError, OutputError, PtychoError
from ptycho_torch.jobs.job import Job, State, check_words
from ptycho_torch.jobs.schedule import find_next

_APPLICATION = 0x70746A71  # "ptjq", by which `file` and we know such a file
_VERSION = 1
_TABLE = """CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    words TEXT NOT NULL,
    folder TEXT NOT NULL,
    state TEXT NOT NULL,
    planned REAL NOT NULL,
    due REAL NOT NULL,
    every_s REAL,
    run INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    attempts_allowed INTEGER NOT NULL,
    backoff_s REAL NOT NULL,
    added REAL NOT NULL,
    started REAL,
    ended REAL,
    exit_code INTEGER,
    message TEXT,
    lease_until REAL,
    token TEXT,
    process TEXT,
    is_cancelled INTEGER NOT NULL
)"""
_INDEX = "CREATE INDEX jobs_by_state ON jobs (state, due)"
_SCHEMA = {"jobs": _TABLE, "jobs_by_state": _INDEX, "sqlite_sequence": "CREATE TABLE sqlite_sequence(name,seq)"}
_HEADER = b"SQLite format 3\0"
_LONGEST_VALUE = 2**24
_BUSY_S = 60.0
_LONGEST_MESSAGE = 2000
# the wait after a failure grows no further, unless the first one is longer
_LONGEST_BACKOFF_S = 3600.0


class Queue:
    """The jobs of one file.

    Args:
        path: the file, which is created if `create` is True.
        create: whether to create a file that does not exist.

    Raises:
        ConfigError: there is no such file.
        DataError: the file is no queue of this version, or contains more than one.
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path.absolute()
        if path.is_dir():
            raise ConfigError(f"{path}: is a folder; a queue is a file")
        if not path.exists() and not create:
            raise ConfigError(f"{path}: there is no such queue; `jobs add` creates one")
        with self._explain():
            if path.exists() and path.stat().st_size:
                with path.open("rb") as file:
                    if file.read(len(_HEADER)) != _HEADER:
                        raise DataError(f"{path}: is not a queue of jobs")
            elif not path.parent.is_dir():
                raise OutputError(f"{path}: the folder {path.parent} does not exist")
            self._connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
            self._connection.row_factory = sqlite3.Row
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
            self._connection.execute("PRAGMA trusted_schema = OFF")
            self._connection.execute("PRAGMA cell_size_check = ON")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._prepare(create=create)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @property
    def log_folder(self) -> Path:
        """The folder of the logs."""
        return self.path.with_name(f"{self.path.name}.logs")

    def find_log(self, number: int) -> Path:
        """The file that the output of a job is written to."""
        return self.log_folder / f"{number}.txt"

    def add(
        self,
        words: Sequence[str],
        folder: Path,
        *,
        planned: float | None = None,
        every_s: float | None = None,
        attempts: int = 3,
        backoff_s: float = 30.0,
    ) -> Job:
        """Add a job.

        Args:
            words: the command line, without the program's name.
            folder: the folder in which it runs.
            planned: when to run it, in seconds since 1970; at once by default.
            every_s: period of a repeated job in seconds.
            attempts: attempts before it becomes a dead letter.
            backoff_s: wait after the first failure in seconds, doubled with each further one.
        """
        now = time.time()
        with self._change() as connection:
            number = _insert(
                connection,
                words=json.dumps(check_words(words)),
                folder=str(folder.absolute()),
                planned=now if planned is None else planned,
                every_s=every_s,
                run=1,
                attempts_allowed=attempts,
                backoff_s=backoff_s,
                added=now,
            )
        return self.find(number)

    def find(self, number: int) -> Job:
        """Find a job.

        Raises:
            ConfigError: there is none of this number.
        """
        with self._explain():
            row = self._connection.execute("SELECT * FROM jobs WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise ConfigError(f"{self.path.name}: has no job {number}")
        return Job.from_row(row)

    def list_jobs(self, state: str | None = None) -> list[Job]:
        """All jobs, or those in a state, in the order of their numbers."""
        with self._explain():
            rows = self._connection.execute(
                "SELECT * FROM jobs WHERE ?1 IS NULL OR state = ?1 ORDER BY number", (state,)
            ).fetchall()
        return [Job.from_row(row) for row in rows]

    def take(self, lease_s: float) -> Job | None:
        """Take the job that has been due longest, or whose worker has given no sign of life; None if there is none."""
        now = time.time()
        with self._change() as connection:
            row = connection.execute(
                "SELECT number FROM jobs WHERE (state = 'waiting' AND due <= ?1) "
                "OR (state = 'running' AND lease_until < ?1) ORDER BY due, number LIMIT 1",
                (now,),
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE jobs SET state = 'running', attempts = attempts + 1, token = ?, lease_until = ?, "
                "started = coalesce(started, ?), ended = NULL WHERE number = ?",
                (uuid.uuid4().hex, now + lease_s, now, row["number"]),
            )
        return self.find(row["number"])

    def renew(self, job: Job, lease_s: float) -> Job | None:
        """Give a sign of life; returns the job as it is now, None if it is not the worker's own any more."""
        with self._change() as connection:
            kept = connection.execute(
                "UPDATE jobs SET lease_until = ? WHERE number = ? AND token = ? AND state = 'running'",
                (time.time() + lease_s, job.number, job.token),
            ).rowcount
        return self.find(job.number) if kept else None

    def keep_process(self, job: Job, process: str) -> None:
        """Keep the process of a job that was just started, for the worker that may have to end it."""
        with self._change() as connection:
            connection.execute(
                "UPDATE jobs SET process = ? WHERE number = ? AND token = ?", (process, job.number, job.token)
            )

    def finish(self, job: Job, exit_code: int) -> bool:
        """Mark a job as done; returns False if it is not the worker's own any more."""
        return self._settle(job, "done", exit_code, None)

    def give_back(self, job: Job, *, due: float | None = None) -> bool:
        """Give a job back that did not fail, so that this attempt does not count."""
        return self._return(job, attempts=job.attempts - 1, due=time.time() if due is None else due)

    def fail(self, job: Job, exit_code: int | None, message: str) -> State | None:
        """Note that an attempt failed: the job waits for the next one, or becomes a dead letter.

        Returns:
            Its state now; None if it is not the worker's own any more.
        """
        if job.attempts >= job.attempts_allowed:
            return "dead" if self._settle(job, "dead", exit_code, message) else None
        longest_s = max(job.backoff_s, _LONGEST_BACKOFF_S)
        wait_s = min(job.backoff_s * 2.0 ** min(job.attempts - 1, 64), longest_s)
        due = time.time() + wait_s
        return "waiting" if self._return(job, job.attempts, due, exit_code, message) else None

    def bury(self, job: Job, exit_code: int | None, message: str) -> bool:
        """Make a job a dead letter, although it has attempts left, since none of them can work."""
        return self._settle(job, "dead", exit_code, message)

    def end_cancelled(self, job: Job, exit_code: int | None) -> bool:
        """Note that a job that was cancelled while it ran has ended; it is not repeated."""
        return self._settle(job, "cancelled", exit_code, None)

    def cancel(self, number: int) -> Job:
        """Cancel a job: one that waits at once, one that runs as soon as its worker has ended it.

        Raises:
            ConfigError: it has ended already, or does not exist.
        """
        with self._change() as connection:
            waiting = connection.execute(
                "UPDATE jobs SET state = 'cancelled', ended = ? WHERE number = ? AND state = 'waiting'",
                (time.time(), number),
            ).rowcount
            if not waiting:
                connection.execute("UPDATE jobs SET is_cancelled = 1 WHERE number = ? AND state = 'running'", (number,))
        job = self.find(number)
        if not waiting and job.state != "running":
            raise ConfigError(f"job {number} is {job.state}; only jobs that wait or run can be cancelled")
        return job

    def retry(self, number: int) -> Job:
        """Let a dead letter or a cancelled job wait again, with all its attempts.

        Raises:
            ConfigError: it is neither, or does not exist.
        """
        with self._change() as connection:
            changed = connection.execute(
                "UPDATE jobs SET state = 'waiting', due = ?, attempts = 0, is_cancelled = 0, ended = NULL, "
                "exit_code = NULL, message = NULL WHERE number = ? AND state IN ('dead', 'cancelled')",
                (time.time(), number),
            ).rowcount
        job = self.find(number)
        if not changed:
            raise ConfigError(f"job {number} is {job.state}; only dead letters and cancelled jobs can be tried again")
        return job

    def has_work(self) -> bool:
        """Whether a job runs, is due, or waits for another attempt."""
        with self._explain():
            row = self._connection.execute(
                "SELECT 1 FROM jobs WHERE state = 'running' "
                "OR (state = 'waiting' AND (due <= ? OR attempts > 0)) LIMIT 1",
                (time.time(),),
            ).fetchone()
        return row is not None

    def _settle(self, job: Job, state: State, exit_code: int | None, message: str | None) -> bool:
        """End a job that is still the worker's own, and plan the next time of a repeated one."""
        now = time.time()
        with self._change() as connection:
            is_own = connection.execute(
                "UPDATE jobs SET state = ?, ended = ?, exit_code = ?, message = ?, attempts = min(attempts, "
                "attempts_allowed), token = NULL, lease_until = NULL WHERE number = ? AND token = ?",
                (state, now, exit_code, _shorten(message), job.number, job.token),
            ).rowcount
            if is_own and job.every_s and state != "cancelled":
                _insert(
                    connection,
                    words=json.dumps(job.words),
                    folder=str(job.folder),
                    planned=find_next(job.planned, job.every_s, now),
                    every_s=job.every_s,
                    run=job.run + 1,
                    attempts_allowed=job.attempts_allowed,
                    backoff_s=job.backoff_s,
                    added=now,
                )
        return bool(is_own)

    def _return(
        self, job: Job, attempts: int, due: float, exit_code: int | None = None, message: str | None = None
    ) -> bool:
        """Let a job wait that is still the worker's own; one that was cancelled meanwhile is cancelled."""
        with self._change() as connection:
            return bool(
                connection.execute(
                    "UPDATE jobs SET state = iif(is_cancelled, 'cancelled', 'waiting'), "
                    "ended = iif(is_cancelled, ?, NULL), "
                    "attempts = ?, due = ?, exit_code = ?, message = ?, token = NULL, lease_until = NULL "
                    "WHERE number = ? AND token = ?",
                    (time.time(), attempts, due, exit_code, _shorten(message), job.number, job.token),
                ).rowcount
            )

    def _prepare(self, *, create: bool) -> None:
        """Check that the file is a queue; make one of an empty file."""
        ask = self._connection.execute
        if create and not ask("SELECT 1 FROM sqlite_master").fetchone():
            with self._change() as connection:
                # another process may have been faster
                if not ask("SELECT 1 FROM sqlite_master").fetchone():
                    connection.execute(_TABLE)
                    connection.execute(_INDEX)
                    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                    connection.execute(f"PRAGMA user_version = {_VERSION}")
        if ask("PRAGMA application_id").fetchone()[0] != _APPLICATION:
            raise DataError(f"{self.path}: is not a queue of jobs")
        version = ask("PRAGMA user_version").fetchone()[0]
        if version != _VERSION:
            raise DataError(f"{self.path}: is a queue of version {version}; this package reads version {_VERSION}")
        # no triggers, views or other tables, which could change what is read
        if {row["name"]: row["sql"] for row in ask("SELECT name, sql FROM sqlite_master")} != _SCHEMA:
            raise DataError(f"{self.path}: contains more or other tables than a queue of jobs")

    @contextlib.contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """One transaction, begun as a writer, so that two workers never see the same job as free."""
        with self._explain():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _explain(self) -> Iterator[None]:
        try:
            yield
        except PtychoError:
            raise
        except sqlite3.OperationalError as error:
            raise OutputError(f"{self.path}: cannot be used ({error})") from error
        except (sqlite3.Error, OverflowError) as error:
            raise DataError(f"{self.path}: is not a readable queue of jobs ({error})") from error
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot be used ({error.strerror or os.strerror(error.errno or 0)})"
            ) from error


def _insert(connection: sqlite3.Connection, *, planned: float, **values: str | float | None) -> int:
    row = {"state": "waiting", "attempts": 0, "is_cancelled": 0, "planned": planned, "due": planned, **values}
    names = ", ".join(row)
    cursor = connection.execute(f"INSERT INTO jobs ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
    return int(cursor.lastrowid or 0)


def _shorten(message: str | None) -> str | None:
    return message[-_LONGEST_MESSAGE:] if message else message
