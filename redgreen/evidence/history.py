"""Ask git whether the code that folders name exists: commits, trees, registry entries and the tests' identities."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from redgreen.codec import to_json
from redgreen.codes import GREEN, Verdict
from redgreen.errors import RegistryError, RepositoryError
from redgreen.evidence.packed import read_contents
from redgreen.evidence.sealed import SealedRun, load_run, read_identities
from redgreen.gitrepo import RebuiltTree, git
from redgreen.judge.identity import VERSION, identify
from redgreen.project import Project
from redgreen.registry.load import parse_registry

__all__ = ["History"]


@dataclass(frozen=True, slots=True)
class History:
    """Compares folders with the history of a repository.

    `prefix` is the project's folder in it; `is_shallow` says that commits may be missing because the clone was made
    without them.
    """

    project: Project
    prefix: str
    is_shallow: bool

    @classmethod
    def of(cls, project: Project) -> History | None:
        """Return the history of a project; None where there is no repository."""
        try:
            said = git(project.root, "rev-parse", "--is-shallow-repository", "--show-prefix").decode().splitlines()
        except RepositoryError:
            return None
        return cls(project, said[1], said[0] == "true")

    def check(self, folder: Path) -> list[str]:
        """Return what git says against a folder that verifies; nothing for one that records no commit.

        What a shallow clone lacks is not held against it.
        """
        contents = read_contents(folder)
        run = load_run(folder, contents)
        revision = run.result.git
        if revision is None or run.verdict is Verdict.ABANDONED:
            return []
        if not self._is_there(revision.head):
            return [] if self.is_shallow else [f"its commit {revision.head[:12]} is not in this repository"]
        with tempfile.TemporaryDirectory(prefix="rg-git-") as place:
            try:
                patch = contents.get("worktree.patch", b"")
                rebuilt = RebuiltTree(self.project.root, revision.head, patch, Path(place))
            except RepositoryError as error:
                return [f"worktree.patch does not apply to its commit {revision.head[:12]}: {error}"]
            if rebuilt.tree != revision.tree:
                return [f"its commit and patch give the tree {rebuilt.tree[:12]}, it names {revision.tree[:12]}"]
            problems = self._check_entry(run, rebuilt)
            if run.result.identity == VERSION:
                problems += self._check_identities(run, contents, rebuilt)
        return problems + self._check_ancestry(run)

    def _is_there(self, commit: str) -> bool:
        try:
            git(self.project.root, "cat-file", "-e", f"{commit}^{{commit}}", env={"GIT_NO_REPLACE_OBJECTS": "1"})
        except RepositoryError:
            return False
        return True

    def _check_entry(self, run: SealedRun, rebuilt: RebuiltTree) -> list[str]:
        """Was the selector declared so in the registry of that tree?"""
        registry = run.intent.registry
        if registry is None:
            return []
        data = rebuilt.read(f"{self.prefix}{registry.file}")
        if data is None or hashlib.sha256(data).hexdigest() != registry.sha256:
            return [f"{registry.file} at its tree is not the registry that it names"]
        try:
            selector = parse_registry(data, registry.file).selectors.get(run.result.selector)
        except RegistryError:
            return []  # written for another redgreen, which read it as it then was
        entry = to_json(selector) if selector is not None else {}
        # a record holds the keys that its redgreen knew
        changed = [key for key, value in run.intent.entry.items() if not _agrees(entry.get(key), value)]
        return [f"the registry at its tree declares another '{changed[0]}'"] if changed else []

    def _check_identities(self, run: SealedRun, contents: dict[str, bytes], rebuilt: RebuiltTree) -> list[str]:
        """Are the tests in that tree those of tests.json?"""
        recorded = read_identities(contents.get("tests.json"))
        selector = run.intent.load_selector()
        with tempfile.TemporaryDirectory(prefix="rg-tree-") as place:
            rebuilt.extract(Path(place))
            found = identify(Path(place) / self.prefix, sorted(recorded), selector.test_support, selector.tests_roots)
        return [f"{nodeid} is another test at its tree" for nodeid in recorded if found[nodeid] != recorded[nodeid]]

    def _check_ancestry(self, run: SealedRun) -> list[str]:
        """Does the commit of the RED lead to that of its GREEN?"""
        pair, revision = run.result.pairs_with, run.result.git
        if run.result.mode is not GREEN or not run.is_valid or pair is None or revision is None:
            return []
        red = load_run(self.project.root / pair.folder).result.git
        if red is None or not self._is_there(red.head):
            return []  # said of the RED
        try:
            git(self.project.root, "merge-base", "--is-ancestor", red.head, revision.head)
        except RepositoryError:
            return [f"the commit of its RED, {red.head[:12]}, does not lead to its own, {revision.head[:12]}"]
        return []


def _agrees(now: object, recorded: object) -> bool:
    """Compare a value of an entry, leaving out keys that the record does not have."""
    if isinstance(now, dict) and isinstance(recorded, dict):
        return all(_agrees(now.get(key), value) for key, value in recorded.items())
    return now == recorded
