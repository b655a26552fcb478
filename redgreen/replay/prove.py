"""Prove a range of commits: its tests on its product, before and after, in a clean clone."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path, PurePosixPath

from redgreen.codes import ProofVerdict
from redgreen.errors import RegistryError, RepositoryError
from redgreen.gitrepo import git
from redgreen.replay.cell import Cell, Conditions, run_cell
from redgreen.replay.change import Ask, Change, describe_change, lies_with_tests, resolve_range
from redgreen.replay.clone import Clone
from redgreen.replay.disguise import find_disguise, is_named, list_modules, list_new_names
from redgreen.replay.hunks import Hunk, list_changed_code, try_hunks
from redgreen.replay.proof import Cells, Proof, check_settings, confirm, judge_replay
from redgreen.replay.reasons import ACCEPTED, Rules
from redgreen.replay.restored import find_restored, list_blobs

__all__ = ["Replay", "prove_range"]


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay found, and what it cost."""

    change: Change
    tests: tuple[str, ...]
    proof: Proof
    cells: Cells
    hunks: tuple[Hunk, ...]
    processes: int
    wall_s: float


def prove_range(
    root: Path,
    span: str,
    tests: Sequence[str],
    conditions: Conditions,
    *,
    product: tuple[str, ...] = (),
    accept: Sequence[str] = ACCEPTED,
    hunks: bool = False,
) -> Replay:
    """Replay the change that a range of commits makes; without `tests`, those in the test files that it touches.

    Raises:
        RegistryError: No tests are named and the range touches no test file.
        RepositoryError: The range does not exist, or git cannot clone it.
    """
    begun = time.monotonic()
    root, folder = _find_top(root)
    tests = [folder + test for test in tests]
    ask = partial(git, root, env={"GIT_NO_REPLACE_OBJECTS": "1"})
    change = describe_change(ask, *resolve_range(ask, span), product)
    with tempfile.TemporaryDirectory(prefix="rg-replay-") as name, conditions.interrupts:
        clone = Clone(root, Path(name) / "clone", (change.base, change.head))
        chosen = tuple(tests) or tuple(path for path in change.tests if clone.read(change.head, path) is not None)
        if not chosen:
            raise RegistryError(f"{span} touches no test file; name tests: redgreen prove {span} -- tests/test_x.py")
        conditions = replace(conditions, roots=(*change.roots, folder, f"{folder}src"), packages=change.packages)
        cells = _run_cells(clone, change, chosen, conditions)
        proof = _judge(clone, change, cells, accept)
        if restored := look_for_restored(ask, clone, change, change.product, change.base):
            told = f"restored: the product was like this before, in {restored}"
            proof = replace(proof, notes=(*proof.notes, told))
        confirmed: list[Cell] = []
        if proof.verdict is ProofVerdict.PROVEN and change.settings:
            clone.lay_out(change.head, files=change.settings, of=change.base)
            confirmed.append(run_cell("after, settings of before", clone.root, chosen, conditions, repeat=1))
            proof = check_settings(proof, confirmed[-1], change.settings)
        if proof.verdict is ProofVerdict.PROVEN:
            clone.lay_out(change.head)
            confirmed.append(run_cell("after, once more", clone.root, chosen, conditions, repeat=1))
            proof = confirm(proof, confirmed[-1])
        undone: list[Hunk] = []
        if hunks and proof.verdict is ProofVerdict.PROVEN:
            undone = [*try_hunks(clone, change, proof.fixed, proof.fixed, conditions, clone.root)]
    processes = sum(cell.processes for cell in [*cells.list(), *confirmed]) + sum(
        hunk.state in ("witnessed", "unwitnessed") for hunk in undone
    )
    return Replay(change, chosen, proof, cells, tuple(undone), processes, time.monotonic() - begun)


def _run_cells(clone: Clone, change: Change, tests: Sequence[str], conditions: Conditions) -> Cells:
    clone.lay_out(change.head)
    after = run_cell("product and tests of after", clone.root, tests, conditions)
    if after.problem:  # whatever the others show, nothing is proven
        return Cells(after)
    clone.lay_out(change.head, files=change.product, of=change.base)
    reverted = run_cell("product of before, tests of after", clone.root, tests, conditions, leave_out=True)
    files = dict.fromkeys(test.partition("::")[0] for test in tests)
    there = [name for name in files if clone.has(change.base, name)]
    if not there:
        return Cells(after, reverted)
    clone.lay_out(change.base)
    before = run_cell("product and tests of before", clone.root, there, conditions, leave_out=True)
    clone.lay_out(change.base, files=change.product, of=change.head)
    forward = run_cell("product of after, tests of before", clone.root, there, conditions, leave_out=True)
    return Cells(after, reverted, _choose(before, tests), _choose(forward, tests))


def _judge(clone: Clone, change: Change, cells: Cells, accept: Sequence[str]) -> Proof:
    proof = judge_replay(cells, make_rules(clone, change, accept))
    gone = tuple(f"gone: {name} with its tests" for name in change.tests if not clone.has(change.head, name))
    gone += tuple(f"changed beside the tests: {name}" for name in change.settings)
    told = tuple(f"stands in for what a build writes: {name}" for name in cells.after.standins)
    return replace(proof, notes=(*proof.notes, *gone, *told))


def make_rules(clone: Clone, change: Change, accept: Sequence[str]) -> Rules:
    """Make the rules of a change: what it adds to the product, and where tests may hide that this is missing."""
    names = list_new_names(clone, change)
    files = [name for name in clone.list_files(change.head) if name.endswith(".py")]
    conftests = [name for name in files if PurePosixPath(name).name == "conftest.py"]
    helpers = {name for name in files if lies_with_tests(name) or name in change.settings}
    read = cache(lambda name: clone.read(change.head, name) or "")

    def look(nodeid: str) -> str:
        own = [nodeid.partition("::")[0], *conftests]
        reached, waiting = [*own], helpers - {*own}
        for name in reached:  # grows by what the ones before import
            modules = list_modules(read(name))
            named = sorted(other for other in waiting if is_named(other, modules))
            reached += named
            waiting -= {*named}
        searched = [name for name in reached if name in own or name in change.settings]
        return next(filter(None, (find_disguise(read(name), nodeid, names) for name in searched)), "")

    return Rules(list_changed_code(clone, change), change.declared, tuple(accept), names, look)


def look_for_restored(ask: Ask, clone: Clone, change: Change, files: Sequence[str], before: str) -> str:
    """Find the commit, at or before another, in which files were already as the change makes them."""
    blobs = list_blobs(clone.git, change.head, tuple(files))
    return find_restored(ask, before, blobs, {name: clone.read(change.head, name) for name in files})


def _find_top(root: Path) -> tuple[Path, str]:
    """Find the top of the repository, and the folder of the project below it: empty, or with a slash at its end."""
    try:
        top, prefix = git(root, "rev-parse", "--show-toplevel", "--show-prefix").decode().splitlines()
    except (RepositoryError, ValueError):
        return root, ""  # the next question to git says what is wrong
    return Path(top), prefix


def _choose(cell: Cell, tests: Sequence[str]) -> Cell:
    """Keep what was chosen: at BASE whole files are run, since a test of the choice may not exist there."""
    kept = {
        nodeid: record
        for nodeid, record in cell.tests.items()
        if any(nodeid == test or nodeid.startswith((f"{test}::", f"{test}[", f"{test}/")) for test in tests)
    }
    return replace(cell, tests=kept, flaky=tuple(nodeid for nodeid in cell.flaky if nodeid in kept))
