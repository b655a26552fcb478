"""One cell of a replay: the chosen tests, run several times on the files that a clone holds."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from redgreen.codes import GUARD
from redgreen.judge.attempt import Process, read_attempt
from redgreen.judge.events import TestRecord
from redgreen.judge.verdict import judge
from redgreen.project import Project
from redgreen.registry.model import Count, Selector
from redgreen.run.environment import child_environment
from redgreen.run.launch import build_argv
from redgreen.run.process import Finished, Interrupts, run_child

__all__ = ["Cell", "Conditions", "run_cell"]

PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
# options of plugins that would hide the tests from the collector, or change their order
PLUGIN_OPTIONS: Final = {"xdist": ("-n0",), "pytest_cov": ("--no-cov",), "pytest_randomly": ("-p", "no:randomly")}
TESTS_RAN: Final = frozenset({"VALID_GREEN", "GUARD_HELD", "GUARD_BROKEN", "SKIPPED", "XFAILED", "XPASSED"})
BROKEN_TESTS: Final = frozenset({"FIXTURE_ERROR", "TEARDOWN_ERROR", "TIMEOUT"})


@dataclass(frozen=True, slots=True)
class Conditions:
    """How the processes of a replay run: seconds for each, repeats, further variables and options of pytest.

    `start` runs a process to its end, as `run_child` does.
    """

    budget_s: float = 60.0
    repeat: int = 3
    pass_env: tuple[str, ...] = ()
    pytest_args: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    interrupts: Interrupts = field(default_factory=Interrupts)
    start: Callable[..., Finished] = run_child


@dataclass(frozen=True, slots=True)
class Cell:
    """What the repeats of one cell showed.

    Attributes:
        name: Whose product and whose tests.
        tests: The record of each test in the first process.
        problem: Why the tests did not run as tests; empty when they did.
        flaky: Tests that ended differently in the repeats.
        processes: How many ran.
        wall_s: What they took together.
    """

    name: str
    tests: dict[str, TestRecord]
    problem: str
    flaky: tuple[str, ...]
    processes: int
    wall_s: float

    def list_with(self, *outcomes: str) -> list[str]:
        """List the tests that ended in one of the outcomes."""
        return [nodeid for nodeid, record in self.tests.items() if record.outcome in outcomes]


def run_cell(name: str, root: Path, tests: Sequence[str], conditions: Conditions, *, repeat: int | None = None) -> Cell:
    """Run tests on the working files below `root`, in fresh processes; the first that cannot run ends the series."""
    records: list[dict[str, TestRecord]] = []
    problem, wall_s = "", 0.0
    for number in range(1, (repeat or conditions.repeat) + 1):
        seen, problem, seconds = _run_once(f"{name} {number}", root, tests, conditions)
        wall_s += seconds
        records.append(seen)
        if problem:
            break
    outcomes = [{nodeid: record.outcome for nodeid, record in seen.items()} for seen in records]
    names = {nodeid for seen in outcomes for nodeid in seen}
    flaky = tuple(sorted(nodeid for nodeid in names if len({seen.get(nodeid) for seen in outcomes}) > 1))
    return Cell(name, records[0], problem, flaky, len(records), wall_s)


def _run_once(
    label: str, root: Path, tests: Sequence[str], conditions: Conditions
) -> tuple[dict[str, TestRecord], str, float]:
    folder = root.parent / "run"
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("tmp", "home"):
        (folder / part).mkdir(parents=True)
    selector = _make_selector(tests, conditions)
    events, junit = folder / "main.events.jsonl", folder / "main.junit.xml"
    run_id = f"replay-{os.getpid()}-{label.replace(' ', '-')}"
    env = child_environment(selector, conditions.environ, run_id=run_id, events=events, tmp=folder / "tmp")
    env["PYTHONPATH"] = os.pathsep.join([env["PYTHONPATH"], str(root / "src"), str(root)])
    env["HOME"] = str(folder / "home")
    del env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]  # the plugins of the environment are the same in every cell
    argv = build_argv(Project(root, scratch=True, python=sys.executable), selector, tmp=folder / "pytest", junit=junit)
    output: list[bytes] = []
    ended = conditions.start(
        argv,
        env=env,
        cwd=root,
        budget_s=conditions.budget_s,
        outputs=[output.append],
        interrupts=conditions.interrupts,
        folder=folder,
    )
    process = Process("main", selector.name, "main.log", ended.rc, ended.timed_out, ended.interrupted, ended.wall_s)
    evidence = read_attempt(lambda name: _read_bytes(folder / name), process).evidence
    judgement = judge(evidence, selector, GUARD)
    broken = [record for record in evidence.tests.values() if record.outcome == "error"]
    problem = ""
    if judgement.verdict not in TESTS_RAN and not (judgement.verdict in BROKEN_TESTS and broken):
        said = _find_reason(b"".join(output).decode("utf-8", "replace"))
        problem = "; ".join([f"{judgement.verdict}: {', '.join(judgement.reasons[:3])}", *([said] if said else [])])
    return evidence.tests, problem, ended.wall_s


def _make_selector(tests: Sequence[str], conditions: Conditions) -> Selector:
    options = [option for name, extra in PLUGIN_OPTIONS.items() if importlib.util.find_spec(name) for option in extra]
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
        pytest_args=("-q", "--tb=short", *options, *conditions.pytest_args),
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
        product=(),
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
    lines = [line.strip() for line in output.splitlines()]
    told = [line for line in lines if line.startswith(("E  ", "ERROR: ", "ImportError", "ModuleNotFoundError"))]
    return " ".join(told[-1].removeprefix("E").split()) if told else ""


def _read_bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
