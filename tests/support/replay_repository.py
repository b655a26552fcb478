"""A repository without a registry, made commit by commit, and `redgreen prove` run on a range of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redgreen_sandbox import TOP, Done, fork_server

from redgreen.commands.replays import describe_replay
from redgreen.replay.cell import Conditions
from redgreen.replay.proof import Proof
from redgreen.replay.prove import prove_range

Files = Mapping[str, str | None]
BROKEN = "def answer():\n    return 41\n"
FIXED = "def answer():\n    return 42\n"
TEST = "from product import answer\n\n\ndef test_answer():\n    assert answer() == 42, 'not the answer'\n"


class Repository:
    """A git repository in a folder; `commit` takes file contents by path, None to delete a file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "A Developer")
        self.git("config", "user.email", "developer@example.org")

    @classmethod
    def outside(cls, root: Path) -> Repository:
        """A folder that is no repository."""
        root.mkdir()
        folder = cls.__new__(cls)
        folder.root = root
        return folder

    def git(self, *words: str) -> str:
        """Run git and return what it printed."""
        done = subprocess.run(["git", *words], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def write(self, files: Files) -> None:
        """Write or delete files."""
        for name, text in files.items():
            path = self.root / name
            if text is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def commit(self, files: Files) -> str:
        """Write files, commit them and return the commit."""
        self.write(files)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "a step")
        return self.git("rev-parse", "HEAD")

    def prove(
        self, span: str, *tests: str, repeat: int = 1, env: dict[str, str] | None = None, **words: Any
    ) -> tuple[Proof, dict[str, Any]]:
        """Replay a range; the proof, and what `redgreen prove --json` prints beside it. Pytest forks."""
        environ = os.environ | (env or {})
        conditions = Conditions(repeat=repeat, environ=environ, start=fork_server().start)
        replay = prove_range(self.root, span, tests, conditions, **words)
        return replay.proof, describe_replay(replay).values

    def spawn(self, *words: str) -> Done:
        """Run `redgreen prove` as a user does."""
        done = subprocess.run(
            [sys.executable, "-m", "redgreen", "prove", *words],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": str(TOP)},
            capture_output=True,
            text=True,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)
