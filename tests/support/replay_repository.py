"""A repository without a registry, made commit by commit, and `redgreen prove` run on a range of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Files = Mapping[str, str | None]
TOP = Path(__file__).resolve().parents[2]
BROKEN = "def answer():\n    return 41\n"
FIXED = "def answer():\n    return 42\n"
TEST = "from product import answer\n\n\ndef test_answer():\n    assert answer() == 42, 'not the answer'\n"


@dataclass(frozen=True)
class Proof:
    """What `redgreen prove --json` ended with."""

    code: int
    values: dict[str, Any]
    err: str

    @property
    def verdict(self) -> str:
        """The verdict of the replay."""
        return str(self.values["label"])

    @property
    def reasons(self) -> str:
        """Its reasons in one text."""
        return "\n".join(self.values["reasons"])


class Repository:
    """A git repository in a folder; `commit` takes file contents by path, None to delete a file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "A Developer")
        self.git("config", "user.email", "developer@example.org")

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

    def prove(self, span: str, *words: str, env: dict[str, str] | None = None) -> Proof:
        """Run `redgreen prove` on a range of commits."""
        done = subprocess.run(
            [sys.executable, "-m", "redgreen", "prove", "--json", span, *words],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": str(TOP)} | (env or {}),
            capture_output=True,
            text=True,
            check=False,
        )
        return Proof(done.returncode, json.loads(done.stdout), done.stderr)
