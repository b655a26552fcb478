"""Judge a replay: from what its four cells showed to one verdict, without running anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from redgreen.codes import ProofVerdict
from redgreen.replay.cell import Cell
from redgreen.replay.reasons import ACCEPTED, Rules, check_failure, describe_failure, find_kind

__all__ = [
    "Cells",
    "Proof",
    "check_cells",
    "check_settings",
    "compare_with_before",
    "confirm",
    "get_outcome",
    "judge_replay",
]

FAILING: Final = ("failed", "error")


@dataclass(frozen=True, slots=True)
class Proof:
    """A verdict with its reasons.

    Attributes:
        verdict: What the replay says.
        reasons: One line each, the decisive one first.
        fixed: Tests that pass after the change and fail without its product, for an accepted reason.
        held: How many tests passed before and after the change.
        notes: What a reviewer should know beside it, such as tests that are gone.
    """

    verdict: ProofVerdict
    reasons: tuple[str, ...]
    fixed: tuple[str, ...] = ()
    held: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cells:
    """The four cells of a replay.

    Attributes:
        after: Product and tests as they are after the change.
        reverted: The product of before, the tests of after; None where those of after do not run at all.
        before: Product and tests of before; None where the chosen test files did not exist.
        forward: The product of after, the tests of before; None as well then.
    """

    after: Cell
    reverted: Cell | None = None
    before: Cell | None = None
    forward: Cell | None = None

    def list(self) -> list[Cell]:
        """List the cells that ran."""
        return [cell for cell in (self.after, self.reverted, self.before, self.forward) if cell is not None]


def judge_replay(cells: Cells, rules: Rules) -> Proof:
    """Judge a replay of a range of commits; the first statement that holds decides."""
    held, notes = compare_with_before(cells)
    verdict, reasons, fixed, more = _decide(cells, rules)
    return Proof(verdict, reasons, fixed, held, notes + more)


def _decide(cells: Cells, rules: Rules) -> tuple[ProofVerdict, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Find the verdict, its reasons, the tests that were fixed and further notes."""
    found = check_cells(cells) or _check_old_tests(cells, bool(rules.product))
    if found is not None:
        return *found, (), ()
    if not rules.product:
        return ProofVerdict.NOTHING_CHANGED, ("no file of the product differs in its code",), (), ()
    if cells.reverted is None or cells.reverted.problem:
        why = cells.reverted.problem if cells.reverted is not None else "they were not run"
        return ProofVerdict.UNPROVEN, (f"with the product of before the tests do not run: {why}",), (), ()
    passing = cells.after.list_with("passed")
    failing = [nodeid for nodeid in passing if get_outcome(cells.reverted, nodeid) in FAILING]
    if not failing and cells.reverted.uncollected:
        told = f"with the product of before {', '.join(cells.reverted.uncollected)} cannot be collected"
        return ProofVerdict.UNPROVEN, (told,), (), ()
    if not failing:
        told = f"{_count(passing)} pass{'es' if len(passing) == 1 else ''} with the product of before as well"
        return ProofVerdict.CHARACTERISATION, (told,), (), ()
    complaints = {nodeid: check_failure(cells.reverted, nodeid, rules) for nodeid in failing}
    fixed = tuple(nodeid for nodeid, complaint in complaints.items() if not complaint)
    if not fixed:
        return ProofVerdict.UNPROVEN, tuple(f"{nodeid}: {told}" for nodeid, told in complaints.items()), (), ()
    reasons = tuple(f"{nodeid}: {describe_failure(cells.reverted.tests[nodeid].failure)}" for nodeid in fixed)
    notes = tuple(f"does not count, {nodeid}: {told}" for nodeid, told in complaints.items() if told)
    return ProofVerdict.PROVEN, reasons, fixed, notes


def confirm(proof: Proof, again: Cell) -> Proof:
    """Confirm a proof by the tests of after, run once more at the end: they may have told the cells apart by order."""
    changed = [nodeid for nodeid in proof.fixed if get_outcome(again, nodeid) != "passed"]
    if not changed:
        return proof
    told = tuple(f"{nodeid}: passed first, {get_outcome(again, nodeid) or 'gone'} at the end" for nodeid in changed)
    return replace(proof, verdict=ProofVerdict.FLAKY, reasons=told, fixed=())


def check_settings(proof: Proof, bare: Cell, settings: Sequence[str]) -> Proof:
    """Drop the tests that fail after the change as well where helpers and settings are those of before.

    Such a test may pass because a conftest patches the product. One that lacks a fixture or a name there says nothing.
    """
    failures = {nodeid: bare.tests[nodeid].failure for nodeid in proof.fixed if get_outcome(bare, nodeid) == "failed"}
    turned = [nodeid for nodeid, failure in failures.items() if failure and find_kind(failure) in ACCEPTED]
    told = tuple(f"{nodeid}: passes only as {', '.join(settings)} changed as well" for nodeid in turned)
    fixed = tuple(nodeid for nodeid in proof.fixed if nodeid not in turned)
    if not fixed:
        return replace(proof, verdict=ProofVerdict.UNPROVEN, reasons=told, fixed=())
    return replace(proof, fixed=fixed, notes=(*proof.notes, *told))


def get_outcome(cell: Cell | None, nodeid: str) -> str:
    """Return how a test ended in a cell; empty where it did not run there."""
    record = cell.tests.get(nodeid) if cell is not None else None
    return record.outcome if record is not None else ""


def check_cells(cells: Cells) -> tuple[ProofVerdict, tuple[str, ...]] | None:
    """Say what rules a proof out whatever failed before.

    The tests did not run after the change, a cell ended differently in its repeats, or something fails after it.
    """
    if cells.after.problem:
        return ProofVerdict.UNPROVEN, (f"after the change the tests do not run: {cells.after.problem}",)
    flaky = [f"{nodeid}: its repeats differ ({cell.name})" for cell in cells.list() for nodeid in cell.flaky]
    if flaky:
        return ProofVerdict.FLAKY, tuple(flaky)
    failing = cells.after.list_with(*FAILING, "xpassed")
    if not failing:
        if cells.after.list_with("passed"):
            return None
        return ProofVerdict.UNPROVEN, ("after the change no test passes: all are skipped, or expected to fail",)
    broken = [nodeid for nodeid in failing if get_outcome(cells.before, nodeid) == "passed"]
    if broken:
        return ProofVerdict.REGRESSING, tuple(f"{nodeid}: passed before, fails after the change" for nodeid in broken)
    reasons = (
        f"{nodeid}: fails after the change: {describe_failure(cells.after.tests[nodeid].failure)}" for nodeid in failing
    )
    return ProofVerdict.UNPROVEN, tuple(reasons)


def _check_old_tests(cells: Cells, product_changed: bool) -> tuple[ProofVerdict, tuple[str, ...]] | None:
    """Do the tests that failed before pass with the new product as they stood, and not only as they stand now?"""
    if cells.before is None or cells.forward is None:
        return None
    weakened = [
        nodeid
        for nodeid in cells.before.list_with(*FAILING)
        if get_outcome(cells.after, nodeid) == "passed" and get_outcome(cells.forward, nodeid) != "passed"
    ]
    why = (
        "as it stood before the change it fails with the new product" if product_changed else "the product is the same"
    )
    return (ProofVerdict.TESTS_CHANGED, tuple(f"{nodeid}: {why}" for nodeid in weakened)) if weakened else None


def compare_with_before(cells: Cells) -> tuple[int, tuple[str, ...]]:
    """Count what passed before and after, and name what passed before and does not run now."""
    if cells.before is None:
        return 0, ("nothing was looked at for losses: the test files are new",)
    if cells.before.problem:
        return 0, (f"nothing was looked at for losses: before the change {cells.before.problem}",)
    passed = cells.before.list_with("passed")
    failed = [nodeid for nodeid in cells.before.list_with(*FAILING) if not get_outcome(cells.after, nodeid)]
    held = sum(get_outcome(cells.after, nodeid) == "passed" for nodeid in passed)
    gone = [nodeid for nodeid in passed if not get_outcome(cells.after, nodeid)]
    silent = [nodeid for nodeid in passed if get_outcome(cells.after, nodeid) in ("skipped", "xfailed")]
    notes = [f"gone: {nodeid} passed before" for nodeid in gone]
    notes += [f"gone: {nodeid} failed before" for nodeid in failed]
    notes += [
        f"nothing was looked at for losses in {name}: it cannot be collected" for name in _list_uncollected(cells)
    ]
    notes += [f"no longer asked: {nodeid} passed before, {get_outcome(cells.after, nodeid)} now" for nodeid in silent]
    if cells.forward is not None:
        notes += [
            f"expects otherwise now: {nodeid}, as it stood before, fails with the new product"
            for nodeid in passed
            if get_outcome(cells.forward, nodeid) in FAILING and get_outcome(cells.after, nodeid) == "passed"
        ]
    return held, tuple(notes if held or notes else ["nothing was looked at for losses: no test passed before"])


def _list_uncollected(cells: Cells) -> list[str]:
    found = [cell.uncollected for cell in (cells.before, cells.forward) if cell is not None]
    return sorted({name for names in found for name in names})


def _count(tests: Sequence[str]) -> str:
    return f"{len(tests)} test" if len(tests) == 1 else f"all {len(tests)} tests"
