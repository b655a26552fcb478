"""One cell of a replay: the chosen tests, run several times on the files that a clone holds."""

from __future__ import annotations

import os
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from redgreen.codes import GUARD
from redgreen.judge.events import Process, TestRecord, read_attempt
from redgreen.judge.verdict import judge
from redgreen.project import Project
from redgreen.registry.model import Count, Selector
from redgreen.replay.standin import write_standins
from redgreen.run.addons import switch_off
from redgreen.run.environment import child_environment
from redgreen.run.launch import build_argv
from redgreen.run.logfile import ESCAPES
from redgreen.run.process import Finished, Interrupts, run_child

__all__ = ["Cell", "Conditions", "InterruptedReplayError", "OutOfTimeError", "run_cell"]

PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
TESTS_RAN: Final = frozenset({"VALID_GREEN", "GUARD_HELD", "GUARD_BROKEN", "SKIPPED", "XFAILED", "XPASSED"})
BROKEN_TESTS: Final = frozenset({"FIXTURE_ERROR", "TEARDOWN_ERROR", "TIMEOUT"})


class OutOfTimeError(Exception):
    """The time that a replay may take as a whole is used up."""


class InterruptedReplayError(KeyboardInterrupt):
    """A signal ended a process of the replay, so that it shows nothing; the message names it."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How the processes of a replay run: seconds for each, repeats, further variables and options of pytest.

    `start` runs a process to its end, as `run_child` does. `roots` are further folders on the import path, and
    `packages` must not be imported from anywhere else. With a `selector` the tests run as its entry of the registry
    says, and else with whatever plugins the environment has; each process may take `stretch` times its seconds. None
    starts after `deadline`, a moment of the monotonic clock, or runs past it. Temporary folders lie in `place`, by
    default beside the files.
    """

    budget_s: float = 60.0
    repeat: int = 3
    pass_env: tuple[str, ...] = ()
    pytest_args: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    interrupts: Interrupts = field(default_factory=Interrupts)
    start: Callable[..., Finished] = run_child
    roots: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    selector: Selector | None = None
    stretch: float = 1.0
    deadline: float = float("inf")
    place: Path | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """What the repeats of one cell showed.

    Attributes:
        name: Whose product and whose tests.
        tests: The record of each test in the first process.
        problem: Why the tests did not run as tests; empty when they did.
        flaky: Tests that ended differently in the repeats.
        uncollected: Files left out because they cannot be collected; the others ran.
        standins: What was written in place of a build's results.
        processes: How many ran.
        wall_s: What they took together.
    """

    name: str
    tests: dict[str, TestRecord]
    problem: str
    flaky: tuple[str, ...]
    processes: int
    wall_s: float
    uncollected: tuple[str, ...] = ()
    standins: tuple[str, ...] = ()

    def list_with(self, *outcomes: str) -> list[str]:
        """List the tests that ended in one of the outcomes."""
        return [nodeid for nodeid, record in self.tests.items() if record.outcome in outcomes]


def run_cell(
    name: str,
    root: Path,
    tests: Sequence[str],
    conditions: Conditions,
    *,
    repeat: int | None = None,
    leave_out: bool = False,
) -> Cell:
    """Run tests on the working files below `root`, in fresh processes; the first that cannot run ends the series.

    With `leave_out`, files that cannot be collected are left out where others can.

    Raises:
        OutOfTimeError: The deadline has come.
        InterruptedReplayError: A signal came.
    """
    runs: list[_Run] = []
    uncollected: list[str] = []
    count = repeat or conditions.repeat
    while len(runs) - bool(uncollected) < count:
        run = _run_once(root, tests, conditions)
        runs.append(run)
        remaining = [test for test in tests if test.partition("::")[0] not in run.uncollected]
        if leave_out and not uncollected and run.uncollected and remaining and len(remaining) < len(tests):
            uncollected, tests = list(run.uncollected), remaining
        elif run.problem:
            break
    seen = runs[1:] if uncollected else runs
    outcomes = [{nodeid: record.outcome for nodeid, record in run.tests.items()} for run in seen]
    names = {nodeid for one in outcomes for nodeid in one}
    flaky = tuple(sorted(nodeid for nodeid in names if len({one.get(nodeid) for one in outcomes}) > 1))
    wall_s = sum(run.wall_s for run in runs)
    return Cell(name, seen[0].tests, seen[-1].problem, flaky, len(runs), wall_s, tuple(uncollected), seen[0].standins)


@dataclass(frozen=True, slots=True)
class _Run:
    """What one process showed."""

    tests: dict[str, TestRecord]
    problem: str
    wall_s: float
    uncollected: tuple[str, ...]
    standins: tuple[str, ...]


def _run_once(root: Path, tests: Sequence[str], conditions: Conditions) -> _Run:
    remaining_s = conditions.deadline - time.monotonic()
    if remaining_s <= 0:
        raise OutOfTimeError
    folder = (conditions.place or root.parent) / "run"
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("tmp", "home", "pytest"):
        (folder / part).mkdir(parents=True)
    standins = write_standins(root, folder / "metadata")
    selector = _make_selector(root, tests, conditions)
    events, junit = folder / "main.events.jsonl", folder / "main.junit.xml"
    # nothing that the tests can see tells the cells apart but the files themselves
    env = child_environment(
        selector, conditions.environ, run_id=f"replay-{uuid.uuid4().hex}", events=events, tmp=folder / "tmp"
    )
    paths = [root / "src", root, *(root / name for name in conditions.roots), folder / "metadata"]
    env["PYTHONPATH"] = os.pathsep.join([env["PYTHONPATH"], *dict.fromkeys(map(str, paths))])
    env["HOME"] = str(folder / "home")
    env["PYTHONPYCACHEPREFIX"] = str(folder / "cache")  # compiled files that the repository holds are not read
    if conditions.selector is None:
        del env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]  # the plugins of the environment are the same in every cell
    argv = build_argv(Project(root, scratch=True, python=sys.executable), selector, tmp=folder / "pytest", junit=junit)
    output: list[bytes] = []
    ended = conditions.start(
        argv,
        env=env,
        cwd=root,
        budget_s=min(conditions.stretch * selector.budget_s, remaining_s),
        outputs=[output.append],
        interrupts=conditions.interrupts,
        folder=folder,
    )
    if ended.timed_out and time.monotonic() >= conditions.deadline:
        raise OutOfTimeError
    if conditions.interrupts.name:
        raise InterruptedReplayError(conditions.interrupts.name)
    process = Process("main", selector.name, "main.log", ended.rc, ended.timed_out, ended.interrupted, ended.wall_s)
    evidence = read_attempt(lambda name: _read_bytes(folder / name), process).evidence
    judgement = judge(evidence, selector, GUARD)
    broken = [record for record in evidence.tests.values() if record.outcome == "error"]
    problem = ""
    if judgement.verdict not in TESTS_RAN and not (judgement.verdict in BROKEN_TESTS and broken):
        said = _find_reason(b"".join(output).decode("utf-8", "replace"))
        problem = "; ".join([f"{judgement.verdict}: {', '.join(judgement.reasons[:3])}", *([said] if said else [])])
        problem = " ".join(problem.split())
    uncollected = tuple(evidence.collect_errors) if judgement.verdict == "COLLECTION_ERROR" else ()
    return _Run(evidence.tests, problem, ended.wall_s, uncollected, standins)


def _make_selector(root: Path, tests: Sequence[str], conditions: Conditions) -> Selector:
    if conditions.selector is not None:
        return replace(conditions.selector, role="guard", select=tuple(tests), count=Count())
    return Selector(
        name="replay",
        initiative="",
        phase="",
        category="",
        title="",
        select=tuple(tests),
        k="",
        m="",
        env={},
        pass_env=(*PASSED_ON, *conditions.pass_env),
        pytest_args=("-q", "--tb=short", f"--rootdir={root}", *switch_off(root), *conditions.pytest_args),
        plugins=(),
        budget_s=conditions.budget_s,
        repeat_red=conditions.repeat,
        repeat_green=conditions.repeat,
        max_skipped=0,
        max_xfailed=0,
        count=Count(),
        role="guard",
        state="live",
        red=None,
        protects=(),
        product=conditions.packages,
        test_support=(),
        artifacts=(),
        log_red="",
        log_green="",
        log_guard="main.log",
        subdir="",
        tests_roots=("tests",),
    )


def _find_reason(output: str) -> str:
    """Find the line of pytest's output that says why nothing could run."""
    lines = [ESCAPES.sub("", line).strip() for line in output.splitlines()]
    told = [
        line.removeprefix("E  ") for line in lines if line.startswith(("E  ", "ImportError", "ModuleNotFoundError"))
    ]
    told = told or [line for line in lines if line.startswith("ERROR: ")] or [line for line in lines if line]
    return " ".join(told[-1].split()) if told else ""


def _read_bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
