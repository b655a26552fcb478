"""A small repository of its own for each test of the harness, with a registry, and redgreen as a process in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from redgreen.evidence.folder import UNSEALED, open_partial, reserve, seal, write_json, write_text
from redgreen.evidence.sealed import SealedRun, load_run, read_object
from redgreen.evidence.summary import render_summary
from redgreen.project import Project
from redgreen.registry.load import find_selector, load_registry
from redgreen.registry.model import Registry, Selector
from redgreen.run.runner import Outcome, Session, run_selector

TOP = Path(__file__).resolve().parents[2]

REGISTRY = """\
schema: 1
defaults: {{budget_s: 60, pytest_args: [-q]}}
initiatives:
  DEMO-001: {{plan: plans/active/DEMO-001/implementation.md, active_phase: A}}
selectors:
{selectors}
"""

TARGET = """\
  {name}:
    initiative: DEMO-001
    phase: A
    subdir: {name}
    category: demo
    select: [{select}]
    role: target
    {extra}
    red: {{accept: [{accept}], reasons: [{{type: {type}, match: "{match}", raised_in: {raised_in}}}]}}
"""

GUARD = """\
  {name}:
    initiative: DEMO-001
    phase: A
    subdir: {name}
    category: demo
    select: [{select}]
    {extra}
"""

RED_TEST = """\
from product import answer


def test_answer():
    assert answer() == 42, "the answer is not there yet"
"""


def target(
    name: str = "demo",
    select: str = "tests/test_demo.py",
    *,
    accept: str = "assertion",
    type: str = "AssertionError",
    match: str = "answer",
    raised_in: str = "tests",
    extra: str = "",
) -> str:
    """A target entry of the registry."""
    return TARGET.format(
        name=name, select=select, accept=accept, type=type, match=match, raised_in=raised_in, extra=extra
    )


def guard(name: str = "held", select: str = "tests/test_held.py", *, extra: str = "") -> str:
    """A guard entry of the registry."""
    return GUARD.format(name=name, select=select, extra=extra)


@dataclass(frozen=True)
class Done:
    """A finished redgreen process."""

    code: int
    out: str
    err: str

    @property
    def closing(self) -> list[str]:
        """The words of the closing line: REDGREEN, code, verdict, path."""
        return self.out.rstrip().splitlines()[-1].split(" ", 3)

    @property
    def verdict(self) -> str:
        """The verdict of the closing line."""
        return self.closing[2]

    def values(self) -> dict[str, Any]:
        """Standard output as JSON."""
        loaded: dict[str, Any] = json.loads(self.out)
        return loaded


@dataclass
class Sandbox:
    """A repository in a temporary folder."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, text: str) -> Path:
        """Write a file of the repository."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def registry(self, *selectors: str) -> None:
        """Write the registry."""
        self.write("plans/registry.yaml", REGISTRY.format(selectors="".join(selectors)))

    def git(self, *words: str) -> str:
        """Run git in the repository."""
        base = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
        done = subprocess.run(
            ["git", *identity, *words],
            cwd=self.root,
            env=self.environ() | base,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def commit(self, message: str = "change") -> None:
        """Commit everything."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)

    def environ(self) -> dict[str, str]:
        """Environment of redgreen: the test's own without CI, and redgreen on the path."""
        left_out = ("CI", "PYTEST_ADDOPTS", "PYTHONPATH", "NO_COLOR", "REDGREEN_RUN_ID")
        kept = {name: value for name, value in os.environ.items() if name not in left_out}
        return kept | {"PYTHONPATH": str(TOP)} | self.env

    def argv(self, *words: str) -> list[str]:
        """Command line of redgreen."""
        return [sys.executable, "-m", "redgreen", *words]

    def run(self, *words: str, timeout: float = 120) -> Done:
        """Run redgreen in the repository."""
        done = subprocess.run(
            self.argv(*words),
            cwd=self.root,
            env=self.environ(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @property
    def project(self) -> Project:
        """The repository as redgreen sees it."""
        return Project(self.root)

    def folder(self, done: Done) -> Path:
        """Report folder of a run."""
        return self.root / done.closing[3]

    def sealed(self, done: Done) -> SealedRun:
        """Sealed run of a process."""
        return load_run(self.folder(done))

    def loaded(self) -> Registry:
        """The registry, read."""
        return load_registry(self.root)

    def record(self, mode: str, name: str = "demo", red: str = "", now: datetime | None = None) -> Outcome:
        """Run a selector in this process, which spares the start of another interpreter."""
        clock: Callable[[], datetime] = (lambda: datetime.now(UTC)) if now is None else (lambda: now)
        session = Session(self.project, self.loaded(), lambda chunk: None, clock=clock, environ=self.environ())
        return run_selector(session, find_selector(session.registry, name), mode, red)


def make_sandbox(root: Path, *selectors: str) -> Sandbox:
    """A committed repository with a product that gives the wrong answer, its test, and a guard."""
    sandbox = Sandbox(root)
    root.mkdir(parents=True, exist_ok=True)
    sandbox.write("pyproject.toml", '[tool.pytest.ini_options]\ntestpaths = ["tests"]\n')
    sandbox.write(".gitignore", ".redgreen/\n__pycache__/\n")
    sandbox.write(".gitattributes", "plans/active/*/reports/** -text\n")
    sandbox.write("plans/active/DEMO-001/implementation.md", "# Demo\n")
    sandbox.write("product.py", "def answer():\n    return 41\n")
    sandbox.write("tests/test_demo.py", RED_TEST)
    sandbox.write("tests/test_held.py", "def test_held():\n    assert True\n")
    sandbox.registry(*(selectors or (target(), guard())))
    sandbox.git("init", "-q")
    sandbox.commit("first")
    return sandbox


def fix_product(sandbox: Sandbox) -> None:
    """Make the product give the right answer."""
    sandbox.write("product.py", "def answer():\n    return 42\n")


def copy_report(project: Project, source: Path, now: datetime) -> Path:
    """Seal another report of the same content under another time, through the code that reserves and seals."""
    stamp = reserve(project, source.parents[2].name, now)
    partial = open_partial(stamp, source.name)
    intent, result = read_object(source / "run.json"), read_object(source / "result.json")
    intent["run_id"] = result["run_id"] = f"{stamp.name}-{result['run_id'][18:]}"
    intent["folder"] = f"{stamp.name}/{source.name}"
    for path in source.iterdir():
        if path.name not in (*UNSEALED, "run.json", "result.json", "summary.md"):
            shutil.copyfile(path, partial / path.name)
    write_json(partial / "run.json", intent)
    write_json(partial / "result.json", result)
    write_text(partial / "summary.md", render_summary(result, Selector.from_entry(intent["entry"])))
    return seal(partial, result["run_id"], result["verdict"])
