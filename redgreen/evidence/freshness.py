"""Whether what a GREEN has shown still holds for the files at HEAD, without running anything."""

from __future__ import annotations

import fnmatch
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Final

from redgreen.errors import RepositoryError
from redgreen.evidence.packed import read_contents
from redgreen.evidence.replayed import ReplayRecord
from redgreen.evidence.sealed import SealedRun
from redgreen.gitrepo import RebuiltTree, git, read_tree
from redgreen.project import Project
from redgreen.registry.model import Selector

__all__ = ["Freshness", "FreshnessState", "find_freshness", "list_newest", "read_head"]

# pyproject.toml is not among them: most of what changes there has nothing to do with pytest
SETTINGS: Final = ("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg")


class FreshnessState(StrEnum):
    """How the files at HEAD compare with those of a GREEN.

    In HOLDS they are the same; in FIX_HOLDS those that the pair has changed are, and its tests, while other files of
    the product differ; in OUTDATED the fix or the tests differ; UNKNOWN is that of code that git does not have.
    """

    HOLDS = "holds"
    FIX_HOLDS = "fix holds"
    OUTDATED = "outdated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Freshness:
    """How a proof compares with HEAD, and the files that differ, those that decide first."""

    state: FreshnessState
    changed: tuple[str, ...]

    def __str__(self) -> str:
        if not self.changed:
            return str(self.state)
        more = f" and {len(self.changed) - 1} more" if self.changed[1:] else ""
        return f"{self.state} ({self.changed[0]}{more})"


def list_newest(runs: Iterable[SealedRun]) -> dict[str, SealedRun]:
    """List the newest GREEN of each selector that showed what was asked of it."""
    valid = [run for run in runs if run.result.pairs_with and run.is_valid]
    return {run.selector: run for run in sorted(valid, key=lambda run: run.key)}


def find_freshness(
    project: Project, run: SealedRun, replayed: ReplayRecord | None, head: Mapping[str, str]
) -> Freshness:
    """Compare a GREEN with `head`, the contents at HEAD by path, as git names them."""
    revision = run.result.git
    if revision is None:
        return Freshness(FreshnessState.UNKNOWN, ())
    try:
        prefix = git(project.root, "rev-parse", "--show-prefix").decode().strip()
        with tempfile.TemporaryDirectory(prefix="rg-git-") as place:
            patch = read_contents(run.folder).get("worktree.patch", b"")
            then = RebuiltTree(project.root, revision.head, patch, Path(place)).list_blobs()
    except (RepositoryError, ValueError):
        return Freshness(FreshnessState.UNKNOWN, ())
    selector = run.intent.load_selector()
    changed = sorted(name for name in then.keys() | head.keys() if then.get(name) != head.get(name))
    tests = {f"{prefix}{row.id.partition('::')[0]}" for row in run.result.tests}
    decisive = tests | {*(replayed.product if replayed is not None else ())}
    broken = [name for name in changed if name in decisive or _is_shared(name, tests, prefix)]
    if broken:
        return Freshness(FreshnessState.OUTDATED, tuple(broken))
    around = [name for name in changed if _is_product(name.removeprefix(prefix), selector)]
    return Freshness(FreshnessState.FIX_HOLDS if around else FreshnessState.HOLDS, tuple(around))


def read_head(project: Project) -> tuple[str, dict[str, str]]:
    """Read the commit at HEAD, shortened, and its contents by path.

    Raises:
        RepositoryError: There is no repository, or no commit.
    """
    return git(project.root, "rev-parse", "--short=12", "HEAD").decode().strip(), read_tree(project.root, "HEAD")


def _is_shared(name: str, tests: set[str], prefix: str) -> bool:
    """Whether a file acts on the tests wherever it is not named: a conftest above them, or pytest's configuration."""
    path = PurePosixPath(name)
    if path.name == "conftest.py":
        return any(PurePosixPath(test).is_relative_to(path.parent) for test in tests)
    return name in {f"{prefix}{setting}" for setting in SETTINGS}


def _is_product(name: str, selector: Selector) -> bool:
    if selector.product:
        return any(fnmatch.fnmatchcase(name, glob) for glob in selector.product)
    return name.endswith(".py") and not any(PurePosixPath(name).is_relative_to(root) for root in selector.tests_roots)
