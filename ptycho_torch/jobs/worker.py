"""A worker: takes jobs from a queue one by one and runs each in a process of its own."""

from __future__ import annotations

import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from types import FrameType
from typing import BinaryIO

from ptycho_torch.config.jobs import WorkerSettings
from ptycho_torch.errors import PtychoError
from ptycho_torch.jobs.command_line import CommandLine
from ptycho_torch.jobs.job import Job
from ptycho_torch.jobs.process import JobProcess, end_earlier, open_log, read_end, wait_briefly
from ptycho_torch.jobs.queue import Queue

_log = logging.getLogger(__name__)
# of commands that have ended with a result, good or bad
RESULT_CODES = (0, 3, 4, 5)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# signs of life in each lease
_RENEWALS = 4


class Worker:
    """Runs the jobs of a queue, one at a time.

    Args:
        queue: the queue.
        settings: how jobs are kept.
        check: checks a command line; raises PtychoError if it cannot be run.

    Attributes:
        received: name of the signal that has asked the worker to end; empty if none has.
        dead: how many jobs became dead letters here.
    """

    def __init__(self, queue: Queue, settings: WorkerSettings, check: Callable[[Sequence[str]], CommandLine]) -> None:
        self.received = ""
        self.dead = 0
        self._is_urgent = False
        self._queue, self._settings, self._check = queue, settings, check
        self._renewed = 0.0

    def run(self, *, until_empty: bool) -> None:
        """Run jobs until a signal is received or, if asked for, no job runs, is due or waits for another attempt."""
        with self._catch_signals():
            while not self.received:
                job = self._queue.take(self._settings.lease_s)
                if job is not None:
                    self._run_job(job)
                elif until_empty and not self._queue.has_work():
                    return
                else:
                    self._sleep(self._settings.poll_s)

    def _run_job(self, job: Job) -> None:
        self._renewed = time.monotonic()
        log = self._open_log(job)
        if log is None:
            return
        with log:
            words = None if job.is_cancelled else self._find_words(job)
            if words is not None:
                self._run_words(job, words, log)
            elif job.is_cancelled:
                self._queue.end_cancelled(job, None)

    def _find_words(self, job: Job) -> tuple[str, ...] | None:
        """The words to run; None if nothing is to be run, in which case the job has been settled."""
        if job.attempts > job.attempts_allowed:
            last = read_end(self._queue.find_log(job.number))
            self._bury(job, None, f"its worker was lost in each of {job.attempts_allowed} attempts\n{last}".strip())
            return None
        try:
            words = self._check(job.fill_words()).continue_words(job)
        except PtychoError as error:
            self._bury(job, 2, str(error))
            return None
        if words is None:
            _log.info("job %d: an earlier attempt has finished", job.number)
            self._queue.finish(job, 0)
            return None
        if not job.folder.is_dir():
            self._fail(job, None, f"{job.folder}: the folder does not exist")
            return None
        return words

    def _run_words(self, job: Job, words: tuple[str, ...], log: BinaryIO) -> None:
        line = ascii(" ".join(words))[1:-1]
        log.write(f"--- {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} attempt {job.attempts}: {line}\n".encode())
        first = log.tell()
        _log.info("job %d, attempt %d: %s", job.number, job.attempts, line)
        try:
            process = JobProcess(words, job.folder, log)
        except OSError as error:
            self._fail(job, None, f"the process cannot be started ({error.strerror or error})")
            return
        try:
            self._queue.keep_process(job, process.name)
            job, code = self._watch(job, process)
        except BaseException:
            # nobody would wait for its end
            process.kill()
            raise
        if code is None:
            _log.warning("job %d: its lease was lost; another worker has taken it", job.number)
            return
        self._settle(job, code, first)

    def _watch(self, job: Job, process: JobProcess) -> tuple[Job, int | None]:
        """Wait for the end of a job; returns the job as it is then and its exit code, None if the lease was lost."""
        asked = 0.0
        while (code := process.find_exit_code()) is None:
            now = self._renew(job)
            if now is None:
                process.kill()
                self._wait_for_end(process)
                return job, None
            job = now
            if not asked and (self.received or job.is_cancelled):
                asked = time.monotonic()
                process.ask_to_end()
            if asked and (self._is_urgent or time.monotonic() - asked > self._settings.grace_s):
                process.kill()
            wait_briefly()
        return job, code

    def _settle(self, job: Job, code: int, first: int) -> None:
        """Note the end of a job."""
        if code in RESULT_CODES:
            kept = self._queue.finish(job, code)
            _log.info("job %d: done%s", job.number, f", exit code {code}" if code else "")
        elif job.is_cancelled:
            kept = self._queue.end_cancelled(job, code)
            _log.info("job %d: cancelled", job.number)
        elif self.received:
            kept = self._queue.give_back(job)
            _log.info("job %d: given back", job.number)
        else:
            how = f"ended by {_name_signal(-code)}" if code < 0 else f"exit code {code}"
            last = read_end(self._queue.find_log(job.number), first)
            kept = self._fail(job, code, f"{how}\n{last}".strip())
        if not kept:
            _log.warning("job %d: its lease was lost; another worker has taken it", job.number)

    def _fail(self, job: Job, code: int | None, message: str) -> bool:
        state = self._queue.fail(job, code, message)
        if state == "dead":
            self.dead += 1
        _log.warning(
            "job %d, attempt %d: %s; %s",
            job.number,
            job.attempts,
            message.splitlines()[0],
            "it is a dead letter now" if state == "dead" else "it is tried again later",
        )
        return state is not None

    def _bury(self, job: Job, code: int | None, message: str) -> None:
        if self._queue.bury(job, code, message):
            self.dead += 1
            _log.warning("job %d: %s; it is a dead letter now", job.number, message.splitlines()[0])

    def _open_log(self, job: Job) -> BinaryIO | None:
        """Open the log of a job once no process of an earlier attempt is left; None if that cannot be had."""
        path = self._queue.find_log(job.number)
        began = time.monotonic()
        while (log := open_log(path)) is None:
            waited = time.monotonic() - began
            if waited > 2 * self._settings.grace_s or self.received:
                _log.warning("job %d: an earlier attempt still runs", job.number)
                self._queue.give_back(job, due=time.time() + self._settings.lease_s)
                return None
            end_earlier(job.process, kill=waited > self._settings.grace_s)
            if self._renew(job) is None:
                return None
            wait_briefly()
        return log

    def _renew(self, job: Job) -> Job | None:
        """Give a sign of life if it is time for one; returns the job, None if it was lost."""
        if time.monotonic() - self._renewed < self._settings.lease_s / _RENEWALS:
            return job
        self._renewed = time.monotonic()
        return self._queue.renew(job, self._settings.lease_s)

    def _wait_for_end(self, process: JobProcess) -> None:
        while process.find_exit_code() is None:
            wait_briefly()

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self.received and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))

    @contextlib.contextmanager
    def _catch_signals(self) -> Iterator[None]:
        usual = {number: signal.signal(number, self._take_signal) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in usual.items():
                signal.signal(number, handler)

    def _take_signal(self, number: int, frame: FrameType | None) -> None:
        # the second signal does not wait for the job
        self._is_urgent = bool(self.received)
        self.received = signal.Signals(number).name


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
