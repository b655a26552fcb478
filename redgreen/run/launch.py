"""Run pytest once on a selector and put its scrubbed records into a report folder."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from redgreen.errors import ReportError
from redgreen.evidence.folder import reserve, translate_errors, write_text
from redgreen.evidence.guards import list_stamps
from redgreen.evidence.scrub import Scrubber
from redgreen.judge.events import Attempt, Process, read_attempt
from redgreen.project import Project
from redgreen.registry.model import Registry, Selector
from redgreen.run.addons import switch_off_mentioned
from redgreen.run.environment import child_environment
from redgreen.run.logfile import PlainLog
from redgreen.run.process import Finished, Interrupts, run_child

HOSTNAME = re.compile(r' hostname="[^"]*"')


def build_argv(project: Project, selector: Selector, *, tmp: Path, junit: Path) -> list[str]:
    """Command line of the pytest process; patterns in `select` are expanded here, as a shell would."""
    argv = [project.python, "-m", "pytest", "-p", "redgreen_collector"]
    for plugin in selector.plugins:
        argv += ["-p", plugin]
    argv += [*switch_off_mentioned(project.root, selector.plugins), "--rootdir=.", "--maxfail=0"]
    argv += ["--color=yes", f"--junit-xml={junit}", "-o", "junit_family=xunit2", f"--basetemp={tmp / 'pytest'}"]
    argv += ["-o", f"cache_dir={tmp / 'cache'}", "-o", "tmp_path_retention_policy=all", *selector.pytest_args]
    if selector.k:
        argv += ["-k", selector.k]
    if selector.m:
        argv += ["-m", selector.m]
    return argv + expand(project.root, selector)


def expand(root: Path, selector: Selector) -> list[str]:
    """Expand the patterns of `select`; one that matches nothing stays as it is, and pytest refuses it."""
    found: list[str] = []
    for part in selector.select:
        path, mark, rest = part.partition("::")
        if not glob.has_magic(path):
            found.append(part)
            continue
        fitting = sorted(name.replace(os.sep, "/") for name in glob.glob(path, root_dir=root, recursive=True))
        found += [name + mark + rest for name in fitting] or [part]
    return list(dict.fromkeys(found))


@dataclass(slots=True)
class Session:
    """One invocation: its moment, its terminal, and the `<UTC>` folders that it reserved, one an initiative.

    `show` takes the raw output of pytest, `environ` is where the allowed variables come from, `interrupts` is entered
    by the caller, `start` runs a process to its end, as `run_child` does.
    """

    project: Project
    registry: Registry
    show: Callable[[bytes], object]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    interrupts: Interrupts = field(default_factory=Interrupts)
    start: Callable[..., Finished] = run_child
    stamps: dict[str, Path] = field(default_factory=dict)

    def reserve_stamp(self, initiative: str) -> Path:
        """Return the `<UTC>` folder of this invocation for an initiative, reserved when it is first needed."""
        if initiative not in self.stamps:
            taken = list_stamps(self.project, initiative)
            self.stamps[initiative] = reserve(self.project, initiative, self.clock(), taken)
        return self.stamps[initiative]


@dataclass(frozen=True, slots=True)
class Launcher:
    """Runs the pytest processes of one run and keeps their log, events and junit, scrubbed, in its report folder."""

    session: Session
    folder: Path
    run_id: str
    scrubber: Scrubber

    def launch(self, selector: Selector, *, label: str, log: str, tmp: Path) -> Attempt:
        """Run pytest once on a selector, with a temporary folder that does not exist yet.

        Raises:
            ReportError: A file of the report cannot be written, or the process cannot be started.
        """
        session, project = self.session, self.session.project
        (tmp / "tmp").mkdir(parents=True)
        events, junit = tmp / "events.jsonl", tmp / "junit.xml"
        env = child_environment(selector, session.environ, run_id=self.run_id, events=events, tmp=tmp / "tmp")
        with translate_errors(self.folder / log):
            plain = PlainLog(self.folder / log, self.scrubber.scrub_line)
            try:
                ended = session.start(
                    build_argv(project, selector, tmp=tmp, junit=junit),
                    env=env,
                    cwd=project.root,
                    budget_s=selector.budget_s,
                    outputs=[session.show, plain.feed],
                    interrupts=session.interrupts,
                    folder=tmp.parent,
                )
            finally:
                plain.close()
        stem = log.removesuffix(".log")
        seen = (_read_bytes(events) or b"").decode("utf-8", "replace")
        write_text(self.folder / f"{stem}.events.jsonl", self.scrubber.scrub_text(seen))
        if (raw := _read_bytes(junit)) is not None:
            cases = HOSTNAME.sub("", raw.decode("utf-8", "replace"))
            write_text(self.folder / f"{stem}.junit.xml", self.scrubber.scrub_xml(cases))
        seconds = round(ended.wall_s, 3)
        process = Process(label, selector.name, log, ended.rc, ended.timed_out, ended.interrupted, seconds)
        return read_attempt(lambda name: _read_bytes(self.folder / name), process)


def _read_bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReportError(f"cannot read what pytest wrote ({path.name}): {error.strerror}") from error
