"""Replay a recorded pair: RED and GREEN, from their commits and patches alone, in a clean clone."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from redgreen.codec import to_text
from redgreen.codes import ProofVerdict
from redgreen.errors import RepositoryError
from redgreen.evidence.environments import compare_environments
from redgreen.evidence.replayed import CellRow, HunkRow, ReplayRecord, name_cell, read_replay
from redgreen.gitrepo import Revision, git
from redgreen.project import Project
from redgreen.registry.layout import Layout
from redgreen.registry.model import Selector, names_everything
from redgreen.replay.cell import Cell, Conditions, InterruptedReplayError, OutOfTimeError, run_cell
from redgreen.replay.change import Ask, Change, describe_change, lies_with_tests
from redgreen.replay.clone import Clone
from redgreen.replay.declared import find_stub, judge_pair, limit
from redgreen.replay.hunks import Hunk, list_changed_code, try_hunks
from redgreen.replay.proof import Cells, Proof, confirm
from redgreen.replay.prove import look_for_restored, make_rules

__all__ = ["Side", "replay_pair"]

SCHEMA: Final = 1
CELLS: Final = {
    "after": name_cell("GREEN", "GREEN"),
    "reverted": name_cell("RED", "GREEN"),
    "before": name_cell("RED", "RED"),
    "forward": name_cell("GREEN", "RED"),
}


@dataclass(frozen=True, slots=True)
class Side:
    """What is recorded of one run of a pair: its id, commit and tree, the patch, and what its environment was."""

    run_id: str
    revision: Revision
    patch: bytes
    environment: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class _Work:
    """The values that the steps of one replay share; `proof` is what is known so far."""

    clone: Clone
    change: Change
    product: tuple[str, ...]
    selector: Selector
    declared: tuple[str, ...]
    conditions: Conditions
    root: Path
    cells: dict[str, Cell] = field(default_factory=dict)
    further: list[Cell] = field(default_factory=list)
    hunks: list[Hunk] = field(default_factory=list)
    proof: Proof = field(default_factory=lambda: Proof(ProofVerdict.UNPROVEN, ("nothing was run",)))


def replay_pair(
    project: Project,
    red: Side,
    green: Side,
    selector: Selector,
    declared: Sequence[str],
    conditions: Conditions,
    *,
    guards: Sequence[Selector] = (),
    when: str,
) -> tuple[ReplayRecord, bytes]:
    """Replay a pair recorded in a project.

    `declared` are the tests that failed as declared in the RED, `guards` what the selector protects.

    Returns:
        What the replay showed, and the change from the tree of the RED to that of the GREEN as a patch.
    """
    begun = time.monotonic()
    conditions = replace(conditions, deadline=begun + selector.replay_budget_s, repeat=selector.replay_repeat)
    root, patch = project.root, b""
    work: _Work | None = None
    with tempfile.TemporaryDirectory(prefix="rg-replay-") as name:
        place = Path(name)
        try:
            top, prefix = git(root, "rev-parse", "--show-toplevel", "--show-prefix").decode().splitlines()
            clone = Clone(Path(top), place / "clone", {red.revision.head, green.revision.head})
            base, head = (_rebuild(clone, side) for side in (red, green))
            change = _describe(clone, base, head, selector, project.layout, prefix)
            patch = clone.git("diff", "--no-ext-diff", "--no-textconv", "--no-renames", base, head)
            conditions = replace(conditions, selector=selector, roots=change.roots, place=place)
            code = list_changed_code(clone, change)
            work = _Work(clone, change, code, selector, tuple(declared), conditions, clone.root / prefix)
            _replay(work, guards, partial(git, root, env={"GIT_NO_REPLACE_OBJECTS": "1"}), red, green)
        except RepositoryError as error:
            proof = Proof(ProofVerdict.UNPROVEN, (f"commit and patch do not give the code that ran: {error}",))
        else:
            proof = work.proof
    notes = (*proof.notes, *_name_differences(red, green))
    if all(map(names_everything, selector.product)):
        notes += ("what is product was guessed: the entry does not tell it from the other files by `product`",)
    wall_s = time.monotonic() - begun
    record = _make_record(work, replace(proof, notes=notes), red, green, selector, wall_s, when)
    return _hide_place(record, place), patch


def _hide_place(record: ReplayRecord, place: Path) -> ReplayRecord:
    """Say `<repo>` for the clone, whose folder has another name each time."""
    text = to_text(record)
    for folder in dict.fromkeys((place.resolve(), place)):
        text = text.replace(f"{folder}/clone", "<repo>").replace(str(folder), "<tmp>")
    return read_replay(text.encode())


def _rebuild(clone: Clone, side: Side) -> str:
    """Commit what a run's commit and patch give.

    Raises:
        RepositoryError: The patch does not apply, or gives another tree than was recorded.
    """
    commit, tree = clone.commit(side.revision.head, side.patch)
    if tree != side.revision.tree:
        raise RepositoryError(f"{side.run_id} names the tree {side.revision.tree[:12]}, they give {tree[:12]}")
    return commit


def _describe(clone: Clone, base: str, head: str, selector: Selector, layout: Layout, prefix: str) -> Change:
    """Describe the change; a file of the tests is no product, whatever the registry says."""
    globs = [prefix + glob for glob in selector.product if not names_everything(glob)]
    change = describe_change(clone.git, base, head, globs)
    roots = [f"{prefix}{folder}/" for folder in selector.tests_roots]
    tests = [name for name in change.product if lies_with_tests(name) or name.startswith(tuple(roots))]
    plans, ledger = re.escape(prefix + layout.plans), re.escape(prefix + layout.ledger)
    evidence = re.compile(rf"{plans}/[^/]+/reports/.*|{ledger}")

    def keep(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in names if not evidence.fullmatch(name))

    product = keep([name for name in change.product if name not in tests])
    return replace(change, product=product, others=keep(sorted({*change.others, *tests})))


def _replay(work: _Work, guards: Sequence[Selector], ask: Ask, red: Side, green: Side) -> None:
    """Fill the cells and judge; what runs out of time leaves what was known before."""
    if not work.change.product and not work.change.others:
        told = "RED and GREEN ran the same files: whatever made the tests pass is not in them"
        work.proof = Proof(ProofVerdict.NOTHING_CHANGED, (told,))
        return
    try:
        _run_cells(work)
        cells = Cells(**work.cells)
        rules = make_rules(work.clone, work.change, work.selector.red.accept if work.selector.red else ())
        work.proof = judge_pair(cells, work.selector, work.declared, rules)
        _check_history(work, ask, red, green)
        _check_guards(work, guards)
        if work.proof.verdict is ProofVerdict.PROVEN:
            work.clone.lay_out(work.change.head)
            work.further.append(_run(work, "after, once more", repeat=1))
            work.proof = confirm(work.proof, work.further[-1])
    except InterruptedReplayError as error:
        work.proof = Proof(ProofVerdict.UNPROVEN, (f"the replay was interrupted by {error}",))
        return
    except OutOfTimeError:
        spent = f"the replay's budget of {work.selector.replay_budget_s:g} s was used up (replay: {{budget_s: …}})"
        work.proof = limit(work.proof, ProofVerdict.UNPROVEN, spent)
        return
    if work.proof.verdict is ProofVerdict.PROVEN:
        tests = work.selector.select
        try:
            for hunk in try_hunks(work.clone, work.change, work.declared, tests, work.conditions, work.root):
                work.hunks.append(hunk)
        except (InterruptedReplayError, OutOfTimeError) as error:
            told = f"not every hunk was undone: {str(error) or 'the budget of the replay was used up'}"
            work.proof = replace(work.proof, notes=(*work.proof.notes, told))


def _run_cells(work: _Work) -> None:
    """Run the four combinations; where only the product has changed, two of them are the same files as the others."""
    base, head, product = work.change.base, work.change.head, work.change.product
    for name, commit, files, of, twin in (
        ("after", head, (), "", ""),
        ("before", base, (), "", ""),
        ("forward", base, product, head, "after"),
        ("reverted", head, product, base, "before"),
    ):
        if twin and not work.change.others:
            told = f"{CELLS[name]} (the same files as {CELLS[twin]})"
            work.cells[name] = replace(work.cells[twin], name=told, processes=0, wall_s=0.0)
            continue
        work.clone.lay_out(commit, files=files, of=of)
        work.cells[name] = _run(work, CELLS[name])
        if name == "before" and find_stub(work.cells[name], work.declared):
            return  # whatever the other two showed, it would be a characterisation


def _run(work: _Work, name: str, *, repeat: int | None = None, guard: Selector | None = None) -> Cell:
    conditions = work.conditions if guard is None else replace(work.conditions, selector=guard)
    selector = guard or work.selector
    return run_cell(name, work.root, selector.select, conditions, repeat=repeat)


def _check_history(work: _Work, ask: Ask, red: Side, green: Side) -> None:
    """Label what history shows: a fix that is older than its RED, and a RED from another line of commits."""
    if work.proof.verdict is not ProofVerdict.PROVEN:
        return
    restored = look_for_restored(ask, work.clone, work.change, work.product, red.revision.head)
    if restored:
        told = f"every changed file of the product was like this before the RED, in {restored}"
        work.proof = limit(work.proof, ProofVerdict.RETROFITTED, told)
        return
    try:
        ask("merge-base", "--is-ancestor", red.revision.head, green.revision.head)
    except RepositoryError:
        told = f"the commit of the RED, {red.revision.head[:12]}, does not lead to that of the GREEN"
        work.proof = limit(work.proof, ProofVerdict.UNPROVEN, f"{told}: record the RED again on this branch")


def _check_guards(work: _Work, guards: Sequence[Selector]) -> None:
    """Run what the selector protects on the files of the GREEN, and on those of the RED where it does not hold."""
    if work.proof.verdict is not ProofVerdict.PROVEN:
        return
    held = work.proof.held
    for guard in guards:
        work.clone.lay_out(work.change.head)
        after = _run(work, f"{guard.name} on the files of the GREEN", repeat=1, guard=guard)
        work.further.append(after)
        broken = after.list_with("failed", "error", "xpassed")
        if not after.problem and not broken:
            passed = after.list_with("passed")
            held += len(passed)
            if not passed:
                told = f"nothing was looked at in {guard.name}: none of its tests passes in a clean clone"
                work.proof = replace(work.proof, notes=(*work.proof.notes, told))
            continue
        work.clone.lay_out(work.change.base)
        before = _run(work, f"{guard.name} on the files of the RED", repeat=1, guard=guard)
        work.further.append(before)
        held_before = {*before.list_with("passed")}
        lost = [nodeid for nodeid in broken if nodeid in held_before]
        lost = lost or ([guard.name] if held_before and after.problem else [])
        verdict = ProofVerdict.REGRESSING if lost else ProofVerdict.UNPROVEN
        why = ", ".join(lost or broken) or after.problem
        work.proof = limit(work.proof, verdict, f"{guard.name}, which it protects, does not hold: {why}")
        return
    if not guards:
        told = "nothing was looked at beyond the selection: it protects no guard"
        work.proof = replace(work.proof, notes=(*work.proof.notes, told))
    work.proof = replace(work.proof, held=held)


def _name_differences(red: Side, green: Side) -> list[str]:
    """Name what differs between the environments of the two runs."""
    found = compare_environments(red.environment, green.environment)
    return [f"environment: {each.name} was {each.before}, is {each.now}" for each in found]


def _count(cell: Cell) -> dict[str, int]:
    outcomes = [record.outcome for record in cell.tests.values()]
    return {outcome: outcomes.count(outcome) for outcome in sorted({*outcomes})}


def _make_record(
    work: _Work | None, proof: Proof, red: Side, green: Side, selector: Selector, wall_s: float, when: str
) -> ReplayRecord:
    cells = [*work.cells.values(), *work.further] if work is not None else []
    hunks = work.hunks if work is not None else []
    return ReplayRecord(
        schema=SCHEMA,
        run_id=green.run_id,
        red=red.run_id,
        base=red.revision.tree,
        head=green.revision.tree,
        verdict=proof.verdict,
        reasons=proof.reasons,
        notes=proof.notes,
        fixed=proof.fixed,
        held=proof.held,
        product=work.change.product if work is not None else (),
        others=work.change.others if work is not None else (),
        cells=tuple(CellRow(cell.name, cell.processes, _count(cell), cell.problem) for cell in cells),
        hunks=tuple(HunkRow(hunk.file, hunk.line, hunk.state) for hunk in hunks),
        repeat=selector.replay_repeat,
        processes=sum(cell.processes for cell in cells) + sum(h.state in ("witnessed", "unwitnessed") for h in hunks),
        wall_s=round(wall_s, 3),
        when=when,
    )
