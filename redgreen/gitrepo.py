"""Ask git which code is being tested, without touching the user's index or objects."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from redgreen.errors import RepositoryError

PATCH_CAP: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Revision:
    """The code under test: a commit, and the tree that the commit and the patch give together, without evidence.

    `branch` is empty when detached; `dirty` says that the working files differ from the commit.
    """

    head: str
    branch: str
    tree: str
    dirty: bool
    patch_sha256: str | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The code under test with the difference from its commit, as `git apply` takes it."""

    revision: Revision
    patch: bytes


def git(root: Path, *words: str, env: dict[str, str] | None = None, stdin: bytes = b"") -> bytes:
    """Run git in a repository and return what it printed.

    Raises:
        RepositoryError: Git is missing or refuses; its own first line is passed on.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environ |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"} | (env or {})
    try:
        done = subprocess.run(["git", *words], cwd=root, env=environ, input=stdin, capture_output=True, check=False)
    except FileNotFoundError:
        raise RepositoryError("git is not installed") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        verb = next((word for word in words if not word.startswith("-") and "=" not in word), "")
        raise RepositoryError(f"git {verb}: {lines[0]}")
    return done.stdout


def read_blobs(root: Path, names: list[str]) -> list[bytes]:
    """Read the contents of blobs by their ids, all in one process.

    Raises:
        RepositoryError: One is missing.
    """
    printed = git(root, "cat-file", "--batch", stdin="".join(f"{name}\n" for name in names).encode())
    blobs = []
    place = 0
    for name in names:
        end = printed.index(b"\n", place)
        facts = printed[place:end].split()
        if facts[1:2] != [b"blob"]:
            raise RepositoryError(f"git cat-file: {name} is missing")
        place = end + 1 + int(facts[2])
        blobs.append(printed[end + 1 : place])
        place += 1
    return blobs


def take_snapshot(root: Path, evidence: Sequence[str]) -> Snapshot:
    """Describe the working files of the repository around a folder.

    `evidence` are patterns, below that folder and as `(glob)PATH`, of files that are no part of the code.

    Raises:
        RepositoryError: No repository, no commit, or a difference too large to keep as evidence.
    """
    try:
        where = git(root, "rev-parse", "--git-path", "index", "--git-path", "objects").decode().splitlines()
    except RepositoryError as error:
        if "not a git repository" in str(error):
            raise RepositoryError(
                "not a git repository: a recorded run must name its commit; use --scratch to run without a record"
            ) from None
        raise
    try:
        head = git(root, "rev-parse", "--verify", "HEAD^{commit}").decode().strip()
    except RepositoryError:
        raise RepositoryError("the repository has no commit yet: make one, or use --scratch") from None
    branch = git(root, "branch", "--show-current").decode().strip()
    index, objects = ((root / line).resolve() for line in where)
    with tempfile.TemporaryDirectory(prefix="rg-git-") as folder:
        env = _set_aside(Path(folder), objects)
        if index.is_file():  # its cached file times spare git from reading every file again
            shutil.copy2(index, env["GIT_INDEX_FILE"])  # by its own time git sees which entries it must not trust
        else:
            git(root, "read-tree", head, env=env)
        git(root, "add", "-A", "--", ":/", *(f":(exclude,{path[1:]}" for path in evidence), env=env)
        git(root, "reset", "-q", head, "--", *(f":{path}" for path in evidence), env=env)
        tree = git(root, "write-tree", env=env).decode().strip()
        patch = b""
        if tree != git(root, "rev-parse", f"{head}^{{tree}}").decode().strip():
            patch = git(root, "diff", "--binary", "--full-index", "--no-color", "--no-ext-diff", head, tree, env=env)
    if len(patch) > PATCH_CAP:
        raise RepositoryError(
            f"the uncommitted changes are {len(patch) / 1e6:.0f} MB, too large to keep as evidence; commit them first"
        )
    sha256 = hashlib.sha256(patch).hexdigest() if patch else None
    return Snapshot(Revision(head, branch, tree, bool(patch), sha256), patch)


def read_tree(root: Path, commit: str) -> dict[str, str]:
    """Read the contents of a commit's files, as git's object ids, by path from the top of the repository.

    Raises:
        RepositoryError: There is no such commit.
    """
    return split_listing(git(root, "ls-tree", "-r", "-z", "--full-tree", commit), 2)


def split_listing(raw: bytes, column: int) -> dict[str, str]:
    """Split what `ls-tree -z` (ids in column 2) or `ls-files --stage -z` (in column 1) printed into ids by path."""
    rows = raw.decode("utf-8", "surrogateescape").split("\0")[:-1]
    return {name: facts.split()[column] for facts, _, name in (row.partition("\t") for row in rows)}


def _set_aside(folder: Path, objects: Path) -> dict[str, str]:
    """Return variables by which git reads a repository's objects, and writes index and objects into a folder."""
    (folder / "objects").mkdir()
    return {
        "GIT_INDEX_FILE": str(folder / "index"),
        "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(objects),
    }


class RebuiltTree:
    """The tree that a commit and a patch give together; nothing is written into the repository.

    Attributes:
        tree: Its id.
    """

    def __init__(self, root: Path, head: str, patch: bytes, place: Path) -> None:
        """Build it in the empty folder `place`.

        Raises:
            RepositoryError: The commit is missing, or the patch does not apply.
        """
        top, objects = git(root, "rev-parse", "--show-toplevel", "--git-path", "objects").decode().splitlines()
        self._top = Path(top)
        self._env = _set_aside(place, (root / objects).resolve()) | {"GIT_NO_REPLACE_OBJECTS": "1"}
        self._git("read-tree", head)
        if patch:
            self._git("apply", "--cached", "--whitespace=nowarn", "-", stdin=patch)
        self.tree = self._git("write-tree").decode().strip()

    def read(self, name: str) -> bytes | None:
        """Return a file's contents; None where it has no such file."""
        try:
            return self._git("cat-file", "blob", f":{name}")
        except RepositoryError:
            return None

    def list_blobs(self) -> dict[str, str]:
        """List the contents of its files, as git's object ids, by path."""
        return split_listing(self._git("ls-files", "--stage", "-z"), 1)

    def extract(self, folder: Path) -> None:
        """Write its files into a folder.

        Raises:
            RepositoryError: They cannot be written.
        """
        self._git("checkout-index", "--all", "--quiet", f"--prefix={folder}/")

    def _git(self, *words: str, stdin: bytes = b"") -> bytes:
        return git(self._top, *words, env=self._env, stdin=stdin)
