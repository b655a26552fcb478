"""A clean clone of a repository, in which files of two commits can stand side by side."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from redgreen.errors import RepositoryError
from redgreen.gitrepo import git

__all__ = ["Clone"]

# lets a commit be fetched that no branch holds, and from a repository whose owner is another user
SERVE: Final = "git -c uploadpack.allowAnySHA1InWant=true -c safe.directory=* upload-pack"

IDENTITY: Final = ("-c", "user.name=redgreen", "-c", "user.email=redgreen@localhost")


class Clone:
    """A clone that nothing local reaches: no configuration, no hooks, no attributes, no replaced or hidden files.

    Git's own folder lies outside of it, so that a test cannot ask git which product it runs on.

    Attributes:
        root: Where it lies.
    """

    def __init__(self, source: Path, root: Path, commits: Iterable[str]) -> None:
        """Fetch commits of a repository, without their history, into a folder that does not exist yet.

        Raises:
            RepositoryError: Git cannot fetch them.
        """
        self.root = root
        self._home = root.parent / "home"
        self._home.mkdir(exist_ok=True)
        root.mkdir()
        self.git("init", "--quiet", "--template=")
        self.git("fetch", "--quiet", "--no-tags", "--depth=1", f"--upload-pack={SERVE}", str(source), *commits)

    @property
    def _env(self) -> dict[str, str]:
        return {
            "GIT_DIR": str(self.root.parent / "git"),
            "GIT_WORK_TREE": str(self.root),
            "HOME": str(self._home),
            "XDG_CONFIG_HOME": str(self._home),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_LFS_SKIP_SMUDGE": "1",
        }

    def lay_out(self, commit: str, *, files: Iterable[str] = (), of: str = "") -> None:
        """Make the working files those of a commit, with some files as they are in another (`of`).

        Raises:
            RepositoryError: A commit is missing, or the files cannot be written.
        """
        self.git("checkout", "--quiet", "--force", "--detach", commit)
        self.git("clean", "-ffdxq")
        names = list(files)
        if not names:
            return
        there = set(self.list_files(of))
        for name in names:  # all of them first: a file may stand where the other commit has a folder
            if name not in there:
                self._remove(name)
        for name in names:
            if name in there:
                self.git("checkout", "--quiet", of, "--", f":(literal){name}")

    def commit(self, parent: str, patch: bytes) -> tuple[str, str]:
        """Apply a patch to a commit, without a line of it out of place, and commit what that gives.

        Returns:
            The commit and its tree.

        Raises:
            RepositoryError: The patch does not apply.
        """
        self.lay_out(parent)
        if patch:
            file = self.root.parent / "recorded.patch"
            file.write_bytes(patch)
            self.git("apply", "--index", "--whitespace=nowarn", str(file))
        tree = self.git("write-tree").decode().strip()
        words = ("commit-tree", tree, "-p", parent, "-m", "recorded")
        return self.git(*IDENTITY, *words).decode().strip(), tree

    def undo(self, patch: bytes) -> bool:
        """Take a patch back; return False, and change nothing, where it does not apply."""
        file = self.root.parent / "undo.patch"
        file.write_bytes(patch)
        try:
            self.git("apply", "--reverse", "--unidiff-zero", "--whitespace=nowarn", str(file))
        except RepositoryError:
            return False
        return True

    def diff(self, base: str, head: str, files: Iterable[str]) -> bytes:
        """Return the difference of some files between two commits, without lines of context."""
        literal = [f":(literal){name}" for name in files]
        return self.git("diff", "--no-ext-diff", "--no-textconv", "--no-renames", "-U0", base, head, "--", *literal)

    def read(self, commit: str, name: str) -> str | None:
        """Return a file of a commit as text; None where the commit has no such file."""
        try:
            return self.git("cat-file", "blob", f"{commit}:{name}").decode("utf-8", "replace")
        except RepositoryError:
            return None

    def has(self, commit: str, name: str) -> bool:
        """Return whether a commit has a file or folder of that name."""
        try:
            self.git("cat-file", "-e", f"{commit}:{name}")
        except RepositoryError:
            return False
        return True

    def _remove(self, name: str) -> None:
        path = self.root / name
        if path.is_dir() and not path.is_symlink():  # the empty folder of a submodule
            shutil.rmtree(path)
            return
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()

    def list_files(self, commit: str) -> list[str]:
        """List the files of a commit."""
        raw = self.git("ls-tree", "-r", "-z", "--name-only", commit)
        return raw.decode("utf-8", "surrogateescape").split("\0")[:-1]

    def git(self, *words: str) -> bytes:
        """Run git on the clone and return what it printed.

        Raises:
            RepositoryError: Git refuses.
        """
        return git(self.root, "-c", f"core.hooksPath={os.devnull}", *words, env=self._env)
