"""Run pytest once on a selector and put its scrubbed witnesses into a report folder."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redgreen.environment import child_environment
from redgreen.errors import ReportError
from redgreen.events import Evidence, read_evidence
from redgreen.logfile import PlainLog
from redgreen.model import Selector
from redgreen.process import Interrupts, run_child
from redgreen.project import Project
from redgreen.report import write_text, written
from redgreen.scrub import Scrubber

__all__ = ["Attempt", "launch", "pytest_argv", "read_attempt"]

HOSTNAME = re.compile(r' hostname="[^"]*"')


@dataclass(frozen=True, slots=True)
class Attempt:
    """One pytest process of a run: what it was for, its files, and how it ended.

    Attributes:
        label: `main`, `repeat 2`, … or `protects NAME`.
        selector: Name of the selector that ran.
        log: File name of the log; the other files share its stem.
        rc: Return code.
        timed_out: Whether the budget ended it.
        interrupted: Signal that ended the run, or empty.
        wall_s: Seconds.
        evidence: What the witnesses saw.
    """

    label: str
    selector: str
    log: str
    rc: int
    timed_out: bool
    interrupted: str
    wall_s: float
    evidence: Evidence

    def facts(self) -> dict[str, Any]:
        """The process for result.json."""
        return {
            "label": self.label,
            "selector": self.selector,
            "log": self.log,
            "rc": self.rc,
            "timed_out": self.timed_out,
            "interrupted": self.interrupted,
            "wall_s": round(self.wall_s, 3),
            "collected": len(self.evidence.collected),
            "deselected": len(self.evidence.deselected),
            "reported": len(self.evidence.tests),
            "junit": None if self.evidence.junit is None else len(self.evidence.junit),
        }


def pytest_argv(project: Project, selector: Selector, *, tmp: Path, junit: Path) -> list[str]:
    """Command line of the pytest process; patterns in `select` are expanded here, as a shell would."""
    argv = [project.python, "-m", "pytest", "-p", "redgreen_collector"]
    for plugin in selector.plugins:
        argv += ["-p", plugin]
    argv += ["--color=yes", f"--junit-xml={junit}", "-o", "junit_family=xunit2", f"--basetemp={tmp / 'pytest'}"]
    argv += ["-o", f"cache_dir={tmp / 'cache'}", "-o", "tmp_path_retention_policy=all", *selector.pytest_args]
    if selector.k:
        argv += ["-k", selector.k]
    if selector.m:
        argv += ["-m", selector.m]
    return argv + expand(project.root, selector)


def expand(root: Path, selector: Selector) -> list[str]:
    """The selected files, classes and tests; a pattern that fits nothing stays as it is, for pytest to refuse."""
    found: list[str] = []
    for part in selector.select:
        path, mark, rest = part.partition("::")
        if not glob.has_magic(path):
            found.append(part)
            continue
        fitting = sorted(name.replace(os.sep, "/") for name in glob.glob(path, root_dir=root, recursive=True))
        found += [name + mark + rest for name in fitting] or [part]
    return list(dict.fromkeys(found))


def launch(
    project: Project,
    selector: Selector,
    *,
    label: str,
    log: str,
    folder: Path,
    tmp: Path,
    run_id: str,
    scrubber: Scrubber,
    parent: Mapping[str, str],
    show: Callable[[bytes], object],
    interrupts: Interrupts,
) -> Attempt:
    """Run pytest and keep its log, events and junit in the folder.

    Args:
        project: Repository to run in.
        selector: What to run.
        label: What this process is for.
        log: File name of the log.
        folder: Report folder being written.
        tmp: Fresh temporary folder of this process.
        run_id: Id of the run.
        scrubber: Applied to everything that is kept.
        parent: Environment to take the allowed variables from.
        show: Takes the raw output for the terminal.
        interrupts: Signals to the runner.

    Raises:
        ReportError: A file of the report cannot be written, or the process cannot be started.
    """
    (tmp / "tmp").mkdir(parents=True)
    events, junit = tmp / "events.jsonl", tmp / "junit.xml"
    env = child_environment(selector, parent, run_id=run_id, events=events, tmp=tmp / "tmp")
    with written(folder / log):
        plain = PlainLog(folder / log, scrubber.line)
        try:
            ended = run_child(
                pytest_argv(project, selector, tmp=tmp, junit=junit),
                env=env,
                cwd=project.root,
                budget_s=selector.budget_s,
                outputs=[show, plain.feed],
                interrupts=interrupts,
                folder=tmp.parent,
            )
        finally:
            plain.close()
    stem = log.removesuffix(".log")
    write_text(folder / f"{stem}.events.jsonl", scrubber.text(_read(events) or ""))
    if (raw := _read(junit)) is not None:
        write_text(folder / f"{stem}.junit.xml", scrubber.xml(HOSTNAME.sub("", raw)))
    facts = {"rc": ended.rc, "timed_out": ended.timed_out, "interrupted": ended.interrupted}
    evidence = read_witnesses(lambda name: _bytes(folder / name), log, facts)
    return Attempt(label, selector.name, log, ended.rc, ended.timed_out, ended.interrupted, ended.wall_s, evidence)


def _read(path: Path) -> str | None:
    data = _bytes(path)
    return None if data is None else data.decode("utf-8", "replace")


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReportError(f"cannot read what pytest wrote ({path.name}): {error.strerror}") from error


def read_witnesses(read: Callable[[str], bytes | None], log: str, facts: Mapping[str, Any]) -> Evidence:
    """Read the witnesses of one process through a function that gives a file's bytes, or None where there is none."""
    stem = log.removesuffix(".log")
    events, junit = read(f"{stem}.events.jsonl"), read(f"{stem}.junit.xml")
    return read_evidence(
        (events or b"").decode("utf-8", "replace"),
        None if junit is None else junit.decode("utf-8", "replace"),
        rc=int(facts["rc"]),
        timed_out=bool(facts["timed_out"]),
        interrupted=str(facts["interrupted"]),
    )


def read_attempt(read: Callable[[str], bytes | None], facts: Mapping[str, Any]) -> Attempt:
    """Rebuild an attempt of a sealed folder from its files.

    Raises:
        KeyError, ValueError: The facts are not those of `Attempt.facts`.
    """
    return Attempt(
        facts["label"],
        facts["selector"],
        facts["log"],
        int(facts["rc"]),
        bool(facts["timed_out"]),
        str(facts["interrupted"]),
        float(facts["wall_s"]),
        read_witnesses(read, facts["log"], facts),
    )
