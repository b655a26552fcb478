"""`jobs`: commands in a queue that outlives the processes that work on it."""

from __future__ import annotations

import argparse
import json
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ptycho_torch.cli.all_commands import ALL_COMMANDS
from ptycho_torch.cli.job_words import check_words_of
from ptycho_torch.cli.options import Parser, add_settings, collect_settings
from ptycho_torch.cli.shared import add_quiet
from ptycho_torch.cli.tables import print_table
from ptycho_torch.config.jobs import JobSettings, WorkerSettings
from ptycho_torch.errors import ConfigError
from ptycho_torch.jobs.command_line import CommandLine
from ptycho_torch.jobs.job import STATES, Job, check_words, format_time
from ptycho_torch.jobs.process import read_end
from ptycho_torch.jobs.queue import Queue
from ptycho_torch.jobs.schedule import parse_duration, parse_time
from ptycho_torch.jobs.worker import Worker

# a job became a dead letter
DEAD = 3
_LONGEST_SHOWN = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of the command, each with options of its own."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Parser)
    add = _add_action(actions, "add", "add a command line to the queue", _add)
    add.add_argument("--at", metavar="TIME", help="when to run it: 2027-01-31T22:00 (local time), 22:00, or +2h")
    add.add_argument("--every", metavar="DURATION", help="run it again and again: 30m, 12h, 1d, 1w")
    add_settings(add, JobSettings)
    add.add_argument("--json", action="store_true", help="print the job as JSON")
    add.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="COMMAND ...",
        help="a command of ptycho-torch with its options, after those of the queue; in its words {time} is the time "
        "for which the job is planned and {run} the number of its repetition",
    )
    work = _add_action(actions, "run", "work on the queue", _run)
    work.add_argument(
        "--until_empty",
        action="store_true",
        help="end when no job runs, is due or is to be tried again (default: wait for more)",
    )
    add_settings(work, WorkerSettings)
    add_quiet(work)
    listing = _add_action(actions, "list", "list the jobs", _list)
    listing.add_argument("--state", choices=STATES, help="only jobs in this state; dead ones are the dead letters")
    listing.add_argument("--json", action="store_true", help="print them as JSON")
    show = _add_action(actions, "show", "show a job and the end of its log", _show)
    _add_numbers(show, several=False)
    show.add_argument("--json", action="store_true", help="print it as JSON")
    retry = _add_action(actions, "retry", "let dead letters and cancelled jobs wait again", _retry)
    _add_numbers(retry, several=True)
    cancel = _add_action(actions, "cancel", "cancel jobs that wait or run; a repeated one is not repeated", _cancel)
    _add_numbers(cancel, several=True)


def _add_action(
    actions: argparse._SubParsersAction[Parser], name: str, summary: str, act: Callable[[argparse.Namespace], int]
) -> Parser:
    parser = actions.add_parser(name, help=summary, description=summary)
    parser.add_argument(
        "--queue", type=Path, default=Path("jobs.sqlite"), metavar="FILE", help="the queue (default: jobs.sqlite)"
    )
    parser.set_defaults(act=act, quiet=False)
    return parser


def _add_numbers(parser: argparse.ArgumentParser, *, several: bool) -> None:
    if several:
        parser.add_argument("numbers", type=_parse_number, nargs="+", metavar="NUMBER", help="numbers of jobs")
    else:
        parser.add_argument("number", type=_parse_number, metavar="NUMBER", help="number of a job")


def _parse_number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:16]) < 10**15:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not the number of a job")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked; returns the exit code."""
    act: Callable[[argparse.Namespace], int] = arguments.act
    return act(arguments)


def check_command_line(words: Sequence[str]) -> CommandLine:
    """Check a command line of any command that a job can run.

    Raises:
        ConfigError: it is none, or the parser refuses it.
    """
    return check_words_of(ALL_COMMANDS, words)


def _add(arguments: argparse.Namespace) -> int:
    words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    if not words:
        raise ConfigError(f"a command is missing; it must be {', '.join(ALL_COMMANDS)}")
    settings = collect_settings(arguments, JobSettings)
    check_command_line(check_words(words))
    now = time.time()
    every_s = parse_duration(arguments.every) if arguments.every else None
    planned = parse_time(arguments.at, now) if arguments.at else now
    queue = Queue(arguments.queue, create=True)
    job = queue.add(
        words, Path.cwd(), planned=planned, every_s=every_s, attempts=settings.attempts, backoff_s=settings.backoff_s
    )
    if arguments.json:
        print(json.dumps(job.to_dict(), indent=2))
    else:
        print(f"job {job.number}: added{f', for {_show_time(planned)}' if planned > now else ''}")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    settings = collect_settings(arguments, WorkerSettings)
    worker = Worker(Queue(arguments.queue), settings, check_command_line)
    worker.run(until_empty=arguments.until_empty)
    if worker.received:
        return 128 + signal.Signals[worker.received]
    return DEAD if worker.dead else 0


def _list(arguments: argparse.Namespace) -> int:
    jobs = Queue(arguments.queue).list_jobs(arguments.state)
    if arguments.json:
        print(json.dumps({"jobs": [job.to_dict() for job in jobs]}, indent=2))
        return 0
    print_table(("job", "state", "attempts", "exit", "planned", "every", "command"), [*map(_make_row, jobs)])
    return 0


def _make_row(job: Job) -> tuple[str, ...]:
    return (
        str(job.number),
        job.state,
        f"{job.attempts}/{job.attempts_allowed}",
        "" if job.exit_code is None else str(job.exit_code),
        _show_time(job.planned),
        _show_duration(job.every_s) if job.every_s else "",
        _show_words(job.words, _LONGEST_SHOWN),
    )


def _show(arguments: argparse.Namespace) -> int:
    queue = Queue(arguments.queue)
    job = queue.find(arguments.number)
    log = queue.find_log(job.number)
    end = read_end(log)
    if arguments.json:
        print(json.dumps({**job.to_dict(), "log": str(log), "log_end": end}, indent=2))
        return 0
    times = {name: _show_time(getattr(job, name)) for name in ("added", "planned", "due", "started", "ended")}
    values = {
        "job": str(job.number),
        "command": _show_words(job.words),
        "folder": ascii(str(job.folder))[1:-1],
        "state": job.state,
        "attempts": f"{job.attempts} of {job.attempts_allowed}",
        "every": _show_duration(job.every_s) if job.every_s else "",
        **times,
        "exit code": "" if job.exit_code is None else str(job.exit_code),
        "log": str(log) if end else "",
    }
    for name, value in values.items():
        if value:
            print(f"{name + ':':11}{value}")
    for heading, text in (("last words", job.message or ""), ("end of the log", end)):
        if text:
            print(f"{heading}:", *(f"    {ascii(line)[1:-1]}" for line in text.splitlines()), sep="\n")
    return 0


def _retry(arguments: argparse.Namespace) -> int:
    queue = Queue(arguments.queue)
    for number in arguments.numbers:
        queue.retry(number)
        print(f"job {number}: waiting")
    return 0


def _cancel(arguments: argparse.Namespace) -> int:
    queue = Queue(arguments.queue)
    for number in arguments.numbers:
        job = queue.cancel(number)
        print(f"job {number}: {'cancelled' if job.state == 'cancelled' else 'is asked to end'}")
    return 0


def _show_words(words: Sequence[str], longest: int | None = None) -> str:
    text = ascii(" ".join(words))[1:-1]
    return text if longest is None or len(text) <= longest else f"{text[: longest - 1]}…"


def _show_time(seconds: float | None) -> str:
    return (format_time(seconds) or "").replace("+00:00", "Z")


def _show_duration(seconds: float) -> str:
    for unit, size in (("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
