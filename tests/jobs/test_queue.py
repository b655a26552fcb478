from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from datetime import datetime
from pathlib import Path

import pytest

from ptycho_torch.errors import ConfigError, DataError, OutputError
from ptycho_torch.jobs.command_line import CommandLine
from ptycho_torch.jobs.job import Job
from ptycho_torch.jobs.queue import Queue
from ptycho_torch.jobs.schedule import find_next, parse_duration, parse_time

WORDS = ("refine", "--data", "scan.npz")


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(tmp_path / "jobs.sqlite", create=True)


def take(queue: Queue, lease_s: float = 60.0) -> Job:
    job = queue.take(lease_s)
    assert job is not None
    return job


def test_a_job_is_taken_once_and_ends_as_done(queue: Queue) -> None:
    queue.add(WORDS, Path("/data"))
    job = take(queue)
    assert (job.words, job.folder, job.attempts) == (WORDS, Path("/data"), 1)
    assert queue.take(60) is None
    assert queue.finish(job, 0)
    assert queue.find(1).state == "done"
    assert not queue.has_work()


def test_a_queue_that_is_opened_again_has_its_jobs(queue: Queue) -> None:
    queue.add(WORDS, Path("/data"))
    take(queue)
    queue.close()
    again = Queue(queue.path)
    assert [job.state for job in again.list_jobs()] == ["running"]


def test_jobs_are_taken_in_the_order_in_which_they_are_due_and_not_before(queue: Queue) -> None:
    now = time.time()
    for planned in (now + 1000, now - 10, now - 20):
        queue.add(WORDS, Path("/data"), planned=planned)
    assert [take(queue).number, take(queue).number] == [3, 2]
    assert queue.take(60) is None


def test_a_job_whose_lease_has_ended_is_taken_again_and_its_first_worker_changes_nothing(queue: Queue) -> None:
    queue.add(WORDS, Path("/data"))
    first = take(queue, lease_s=0.001)
    time.sleep(0.01)
    second = take(queue)
    assert (second.number, second.attempts) == (first.number, 2)
    assert not queue.finish(first, 0)
    assert queue.fail(first, 1, "late") is None
    assert not queue.give_back(first)
    assert queue.renew(first, 60) is None
    assert queue.find(1).state == "running"
    assert queue.finish(second, 0)


def test_a_renewed_lease_keeps_the_job(queue: Queue) -> None:
    queue.add(WORDS, Path("/data"))
    job = take(queue, lease_s=0.001)
    assert queue.renew(job, 60) is not None
    time.sleep(0.01)
    assert queue.take(60) is None


def test_a_job_that_fails_waits_longer_each_time_and_becomes_a_dead_letter_with_its_last_words(queue: Queue) -> None:
    queue.add(WORDS, Path("/data"), attempts=3, backoff_s=0.02)
    for wait_s in (0.02, 0.04):
        job = take(queue)
        began = time.time()
        assert queue.fail(job, 1, "no luck") == "waiting"
        assert began + wait_s <= queue.find(1).due <= time.time() + wait_s
        time.sleep(max(0.0, queue.find(1).due - time.time()) + 0.002)
    assert queue.fail(take(queue), 137, "the end") == "dead"
    job = queue.find(1)
    assert (job.state, job.exit_code, job.message) == ("dead", 137, "the end")
    assert not queue.has_work()


def test_what_is_given_back_does_not_count_as_an_attempt(queue: Queue) -> None:
    queue.add(WORDS, Path("/data"), attempts=1)
    for _ in range(3):
        assert queue.give_back(take(queue))
    assert take(queue).attempts == 1


def test_a_dead_letter_that_is_tried_again_has_all_its_attempts(queue: Queue) -> None:
    queue.add(WORDS, Path("/data"), attempts=1)
    queue.fail(take(queue), 1, "no luck")
    with pytest.raises(ConfigError, match="job 1 is dead; only jobs that wait or run can be cancelled"):
        queue.cancel(1)
    queue.retry(1)
    assert (take(queue).attempts, queue.find(1).message) == (1, None)
    with pytest.raises(ConfigError, match="job 1 is running; only dead letters and cancelled jobs"):
        queue.retry(1)


def test_a_cancelled_job_is_not_taken_and_one_that_runs_learns_of_it(queue: Queue) -> None:
    queue.add(WORDS, Path("/data"))
    queue.add(WORDS, Path("/data"), every_s=60)
    queue.cancel(1)
    job = take(queue)
    assert job.number == 2
    queue.cancel(2)
    told = queue.renew(job, 60)
    assert told is not None
    assert told.is_cancelled
    queue.end_cancelled(job, 143)
    assert [found.state for found in queue.list_jobs()] == ["cancelled", "cancelled"]


def test_a_repeated_job_is_planned_again_when_it_ends_well_or_not(queue: Queue) -> None:
    planned = time.time() - 250
    queue.add(WORDS, Path("/data"), planned=planned, every_s=100, attempts=1)
    queue.finish(take(queue), 0)
    following = queue.find(2)
    assert (following.planned, following.run, following.state) == (planned + 300, 2, "waiting")
    assert queue.take(60) is None
    assert not queue.has_work()


def test_a_repeated_job_is_planned_once_although_its_first_worker_ends_late(queue: Queue) -> None:
    queue.add(WORDS, Path("/data"), every_s=100)
    late = take(queue, lease_s=0.001)
    time.sleep(0.01)
    queue.finish(take(queue), 0)
    queue.finish(late, 0)
    assert len(queue.list_jobs()) == 2


def test_words_contain_the_planned_time_and_the_number_of_the_run(queue: Queue) -> None:
    job = queue.add(("train", "--output_dir=trained-{time}-{run}"), Path("/data"), planned=0.0)
    assert job.fill_words() == ("train", "--output_dir=trained-19700101T000000Z-1")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("1d", 86_400), ("2w", 1_209_600)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "0s", "1y", "1e3s", "99999w", "1h30m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a duration"):
        parse_duration(text)


def test_times() -> None:
    now = datetime(2027, 1, 31, 12, 0).timestamp()
    assert parse_time("+2h", now) == now + 7200
    assert parse_time("2027-02-01T08:30", now) == datetime(2027, 2, 1, 8, 30).timestamp()
    assert parse_time("2027-02-01T08:30+00:00", now) == 1_801_470_600
    assert parse_time("13:00", now) == now + 3600
    assert parse_time("11:00", now) == now + 23 * 3600


@pytest.mark.parametrize("text", ["", "noon", "25:00", "+", "2027-13-01", "9999-01-01", "0001-01-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a time|is not a duration|is too far"):
        parse_time(text, 1.8e9)


def test_times_that_have_passed_are_left_out() -> None:
    assert find_next(1000.0, 60.0, 1001.0) == 1060.0
    assert find_next(1000.0, 60.0, 1060.0) == 1120.0
    assert find_next(1000.0, 60.0, 5000.0) == 5020.0
    assert find_next(5000.0, 60.0, 1000.0) == 5060.0


def spoil(queue: Queue, statement: str, *values: object) -> None:
    queue.close()
    with sqlite3.connect(queue.path) as connection:
        connection.execute(statement, values)
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER evil AFTER UPDATE ON jobs BEGIN DELETE FROM jobs WHERE number != new.number; END",
        "CREATE VIEW more AS SELECT * FROM jobs",
        "CREATE TABLE more (words TEXT)",
        "DROP INDEX jobs_by_state",
        "PRAGMA user_version = 7",
        "PRAGMA application_id = 1",
    ],
)
def test_a_file_that_is_not_exactly_a_queue_is_refused(queue: Queue, statement: str) -> None:
    queue.add(WORDS, Path("/data"))
    spoil(queue, statement)
    with pytest.raises(DataError):
        Queue(queue.path)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("words", b"\x80\x04]"),
        ("words", '"refine"'),
        ("words", "[]"),
        ("words", '["refine", 3]'),
        ("words", '["refine", "a\\u0000b"]'),
        ("words", "[" * 100_000),
        ("folder", "here"),
        ("state", "asleep"),
        ("every_s", float("inf")),
        ("due", 1e300),
        ("attempts", "many"),
        ("message", b"\xff"),
    ],
)
def test_a_row_that_this_package_does_not_write_is_refused(queue: Queue, column: str, value: object) -> None:
    queue.add(WORDS, Path("/data"))
    spoil(queue, f"UPDATE jobs SET {column} = ?", value)
    with pytest.raises(DataError):
        Queue(queue.path).list_jobs()


def test_every_cut_of_a_queue_is_refused_or_read(queue: Queue) -> None:
    for _ in range(5):
        queue.add(WORDS, Path("/data"))
    queue.close()
    whole = queue.path.read_bytes()
    for length in range(0, len(whole), 509):
        queue.path.write_bytes(whole[:length])
        with contextlib.suppress(DataError, OutputError, ConfigError):
            assert len(Queue(queue.path).list_jobs()) <= 5


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such queue"):
        Queue(tmp_path / "none.sqlite")
    with pytest.raises(ConfigError, match="is a folder"):
        Queue(tmp_path)
    with pytest.raises(OutputError, match="does not exist"):
        Queue(tmp_path / "folder" / "jobs.sqlite", create=True)
    text = tmp_path / "notes.txt"
    text.write_text("refine --data scan.npz")
    with pytest.raises(DataError, match="is not a queue of jobs"):
        Queue(text, create=True)
    assert text.read_text() == "refine --data scan.npz"


def write_record(job: Job, record: Path, arguments: list[str], status: str, started: float) -> None:
    path = job.folder / record
    path.parent.mkdir(exist_ok=True)
    text = datetime.fromtimestamp(started).astimezone().isoformat(timespec="seconds")
    path.write_text(json.dumps({"arguments": arguments, "status": status, "started": text}))


def begin(queue: Queue, folder: Path, words: tuple[str, ...]) -> Job:
    """A job whose first worker was lost after it had started a process."""
    queue.add(words, folder)
    queue.keep_process(take(queue, lease_s=0.001), "boot 2 1")
    time.sleep(0.01)
    return take(queue)


RECORD = Path("refined") / "run.json"


@pytest.mark.parametrize("status", ["running", "interrupted", "finished"])
def test_a_run_that_an_earlier_attempt_left_is_resumed(queue: Queue, tmp_path: Path, status: str) -> None:
    job = begin(queue, tmp_path, WORDS)
    line = CommandLine(words=WORDS, record=RECORD, can_resume=True, can_overwrite=True)
    assert line.continue_words(job) == WORDS  # it was lost before it wrote anything
    for arguments in ([*WORDS], [*WORDS, "--resume"]):
        write_record(job, RECORD, arguments, status, time.time())
        assert line.continue_words(job) == (*WORDS, "--resume")


def test_a_run_that_cannot_be_resumed_begins_anew_or_has_finished(queue: Queue, tmp_path: Path) -> None:
    job = begin(queue, tmp_path, WORDS)
    line = CommandLine(words=WORDS, record=RECORD, can_overwrite=True)
    write_record(job, RECORD, [*WORDS], "running", time.time())
    assert line.continue_words(job) == (*WORDS, "--overwrite")
    write_record(job, RECORD, [*WORDS], "finished", time.time())
    assert line.continue_words(job) is None


def test_what_others_have_written_is_neither_resumed_nor_replaced(queue: Queue, tmp_path: Path) -> None:
    job = begin(queue, tmp_path, WORDS)
    line = CommandLine(words=WORDS, record=RECORD, can_resume=True, can_overwrite=True)
    write_record(job, RECORD, ["refine", "--data", "other.npz"], "running", time.time())
    assert line.continue_words(job) == WORDS
    write_record(job, RECORD, [*WORDS], "finished", time.time() - 100)
    assert line.continue_words(job) == WORDS
    (tmp_path / RECORD).write_text("[" * 10_000)
    assert line.continue_words(job) == WORDS
    queue.add(WORDS, tmp_path)
    fresh = take(queue)
    write_record(fresh, RECORD, [*WORDS], "running", time.time() + 5)
    assert line.continue_words(fresh) == WORDS  # no process of this job can have written it
