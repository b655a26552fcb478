"""A small repository of its own for each test of the harness, with a registry, and redgreen as a process in it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any
from unittest import mock

import redgreen_fork

from redgreen.cli import main
from redgreen.codes import Mode
from redgreen.commands.start import MARKS
from redgreen.evidence import ledger
from redgreen.evidence.folder import UNSEALED, open_partial, reserve, seal, write_json, write_text
from redgreen.evidence.packed import read_contents
from redgreen.evidence.record import INTENT, RESULT
from redgreen.evidence.replayed import CHANGE, REPLAY
from redgreen.evidence.sealed import SealedRun, load_replay, load_run
from redgreen.evidence.summary import render_summary
from redgreen.evidence.verify import load_red
from redgreen.project import Project
from redgreen.registry.load import find_selector, load_registry
from redgreen.registry.model import Registry
from redgreen.run.launch import Session
from redgreen.run.process import Finished
from redgreen.runner import run_selector

TOP = Path(__file__).resolve().parents[2]

CONFIGURATION = """\
[tool.pytest.ini_options]
testpaths = ["tests"]
[tool.redgreen.documents]
index = "docs/development/TEST_SUITE_INDEX.md"
map = "docs/development/SELECTOR_MAP.md"
"""

REGISTRY = """\
schema: 1
defaults: {{budget_s: 60, pytest_args: [-q], replay: {{repeat: 1}}}}
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

    def run(self, *words: str) -> Done:
        """Call redgreen's command line in the repository, in this process."""
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        with (
            mock.patch.dict(os.environ, self.environ(), clear=True),
            contextlib.chdir(self.root),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = main([*words])
        told = [stream.buffer.getvalue().decode() for stream in (out, err)]
        return Done(code, *told)

    def spawn(self, *words: str, preexec: Callable[[], object] | None = None) -> Done:
        """Run redgreen in the repository, in a process of its own."""
        done = subprocess.run(
            self.argv(*words),
            cwd=self.root,
            env=self.environ(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            preexec_fn=preexec,
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

    def record(
        self, mode: str, name: str = "demo", red: str = "", now: datetime | None = None, *, keep: bool = False
    ) -> SealedRun:
        """Run a selector through the Python interface; pytest forks instead of starting an interpreter."""
        clock: Callable[[], datetime] = (lambda: datetime.now(UTC)) if now is None else (lambda: now)
        session = Session(
            self.project,
            self.loaded(),
            lambda chunk: None,
            clock=clock,
            environ=self.environ(),
            start=fork_server().start,
        )
        return run_selector(session, find_selector(session.registry, name), Mode[mode.upper()], red, keep=keep)

    def copy(self, root: Path) -> Sandbox:
        """The same repository in another folder, with whatever was recorded in it."""
        shutil.copytree(self.root, root, symlinks=True)
        return Sandbox(root, dict(self.env))


def write_loose(folder: Path) -> Path:
    """Give a report folder the form of single files."""
    contents = read_contents(folder)
    for path in folder.iterdir():
        path.unlink()
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return folder


class ForkServer:
    """Runs pytest sessions, each in a process and a process group of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", redgreen_fork.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        atexit.register(self._process.communicate)

    def start(
        self,
        argv: list[str],
        *,
        env: dict[str, str],
        cwd: Path,
        budget_s: float,
        outputs: list[Callable[[bytes], object]],
        interrupts: object,
        folder: Path,
    ) -> Finished:
        """Run one session, as `redgreen.run.process.run_child` does."""
        assert argv[1:3] == ["-m", "pytest"]
        log = folder / "session.log"
        job = {"argv": argv[3:], "cwd": str(cwd), "env": env, "log": str(log), "budget_s": budget_s}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        rc, timed_out = json.loads(self._process.stdout.readline())
        for output in outputs:
            output(log.read_bytes())
        return Finished(rc, timed_out, "", 0.0)


@functools.cache
def fork_server() -> ForkServer:
    """The server of this test process, started when it is first needed."""
    return ForkServer()


@functools.cache
def template() -> tempfile.TemporaryDirectory[str]:
    """The first commit of every sandbox, made once; removed with the process."""
    folder = tempfile.TemporaryDirectory(prefix="redgreen-sandbox-")
    sandbox = Sandbox(Path(folder.name) / "repo")
    sandbox.root.mkdir()
    sandbox.write("pyproject.toml", CONFIGURATION)
    sandbox.write(".gitignore", ".redgreen/\n__pycache__/\n")
    sandbox.write(".gitattributes", "".join(f"{mark}\n".format(plans="plans/active") for mark in MARKS))
    sandbox.write("plans/active/DEMO-001/implementation.md", "# Demo\n")
    sandbox.write("product.py", "def answer():\n    return 41\n")
    sandbox.write("tests/test_demo.py", RED_TEST)
    sandbox.write("tests/test_held.py", "def test_held():\n    assert True\n")
    sandbox.registry(target(), guard())
    sandbox.git("init", "-q", "--template=")
    sandbox.commit("first")
    return folder


def make_sandbox(root: Path, *selectors: str) -> Sandbox:
    """A committed repository with a product that gives the wrong answer, its test, and a guard."""
    sandbox = Sandbox(Path(template().name) / "repo").copy(root)
    if selectors and selectors != (target(), guard()):
        sandbox.registry(*selectors)
        sandbox.commit("registry")
    return sandbox


def fix_product(sandbox: Sandbox) -> None:
    """Make the product give the right answer."""
    sandbox.write("product.py", "def answer():\n    return 42\n")


class Copier:
    """Seals reports of the same content as one that is there, through the code that reserves and seals.

    Bare ones hold nothing but the record, which is all that the ledger reads.
    """

    def __init__(self, project: Project, source: Path, *, bare: bool = False) -> None:
        self.project = project
        self.source = source
        self.run = load_run(source)
        self.red, self.replay = load_red(project, self.run)[0], load_replay(self.run)
        own = (*UNSEALED, INTENT, RESULT, "summary.md")
        self.files = {name: data for name, data in read_contents(source).items() if not bare and name not in own}

    def seal(self, now: datetime) -> Path:
        """Seal another report under another time."""
        stamp = reserve(self.project, self.run.initiative, now)
        partial = open_partial(stamp, self.source.name)
        run_id = f"{stamp.name}-{self.run.result.run_id[18:]}"
        result = replace(self.run.result, run_id=run_id)
        for name, data in self.files.items():
            (partial / name).write_bytes(data)
        folder = f"{stamp.name}/{self.source.name}"
        write_json(partial / INTENT, replace(self.run.intent, run_id=run_id, folder=folder))
        write_json(partial / RESULT, result)
        replay = self.replay and replace(self.replay, run_id=run_id)
        if replay and self.files:
            write_json(partial / REPLAY, replay)
        red, change = self.red.result if self.red else None, self.files.get(CHANGE, b"")
        text = render_summary(result, self.run.intent.load_selector(), red=red, replay=replay, change=change)
        write_text(partial / "summary.md", text)
        return seal(partial, run_id, result.verdict)


def seal_many(root: str, number: int, now: datetime, add: bool = False, bare: bool = False) -> None:
    """Seal copies of the first report under one frozen clock, and add their rows when asked."""
    os.fsync = lambda fd: None  # power cuts are not the question here, and waiting for the disk takes a minute
    project = Project(Path(root))
    copier, registry = Copier(project, min(project.list_folders()), bare=bare), load_registry(project.root)
    for _ in range(number):
        folder = copier.seal(now)
        if add:
            ledger.add(project, registry, load_run(folder))


def reserve_many(root: str, number: int, now: datetime, queue: SimpleQueue[list[str]]) -> None:
    """Reserve report folders under one frozen clock."""
    queue.put([reserve(Project(Path(root)), "DEMO-001", now).name for _ in range(number)])
