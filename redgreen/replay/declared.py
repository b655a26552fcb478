"""Judge the replay of a recorded pair: the tests that its RED declares must fail and pass in the right cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from redgreen.codes import ProofVerdict
from redgreen.judge.verdict import check_rules
from redgreen.registry.model import Selector
from redgreen.replay.cell import Cell
from redgreen.replay.proof import Cells, Proof, check_cells, compare_with_before, get_outcome
from redgreen.replay.reasons import Rules, describe_failure, look_behind

__all__ = ["find_stub", "judge_pair", "limit"]

Found = tuple[ProofVerdict, tuple[str, ...]]
Check = Callable[[Cell, str], str]


def judge_pair(cells: Cells, selector: Selector, declared: tuple[str, ...], rules: Rules) -> Proof:
    """Judge a replay; the first statement that holds decides.

    `declared` are the tests that failed as declared in the RED. PROVEN means: each of them fails for the declared
    reason with the product of the RED, and passes with that of the GREEN, the tests being those of the RED; and the
    same with the tests of the GREEN.
    """
    held, notes = compare_with_before(cells)

    def check(cell: Cell, nodeid: str) -> str:
        return _check_declared(cell, nodeid, selector, rules)

    found = check_cells(cells)
    stub = find_stub(cells.before, declared)
    found = found or _check_red(cells, declared, check)
    if stub:
        found = found or (
            ProofVerdict.CHARACTERISATION,
            (f"{stub}: the RED came from a stub: the test runs and passes now; nothing tells what it would notice",),
        )
    found = found or _check_product(cells, declared, rules) or _check_forward(cells, declared)
    if found is None and cells.reverted is not None and cells.reverted.problem:
        notes += (f"with the product of the RED the tests of the GREEN do not run: {cells.reverted.problem}",)
    found = found or _check_reverted(cells, declared, check)
    if found is not None:
        return Proof(*found, held=held, notes=notes)
    assert cells.before is not None
    told = tuple(f"{nodeid}: {describe_failure(cells.before.tests[nodeid].failure)}" for nodeid in declared)
    return Proof(ProofVerdict.PROVEN, told, declared, held, notes)


def limit(proof: Proof, verdict: ProofVerdict, reason: str) -> Proof:
    """Give a proof another verdict, for a reason that the cells do not show."""
    return replace(proof, verdict=verdict, reasons=(reason, *proof.reasons), fixed=())


def find_stub(red: Cell | None, declared: tuple[str, ...]) -> str:
    """Find a declared test whose failure at the RED is that of a stub; empty where there is none."""
    tests = red.tests if red is not None else {}
    failures = {nodeid: tests[nodeid].failure for nodeid in declared if nodeid in tests}
    return next((nodeid for nodeid, failure in failures.items() if failure and failure.kind == "stub"), "")


def _check_declared(cell: Cell, nodeid: str, selector: Selector, rules: Rules) -> str:
    """Say why a test does not fail as its RED declares; empty when it does."""
    record = cell.tests.get(nodeid)
    if record is None or record.outcome != "failed":
        return record.outcome if record is not None else "did not run"
    problem = check_rules(record, selector, {})
    if problem is not None:
        return problem[1]
    failure = record.failure
    if failure is not None and failure.kind == "assertion" and failure.origin in rules.product and not rules.declared:
        return f"the assertion that fails stands in {failure.origin}, which changed: declare what is product"
    told = look_behind(failure, nodeid, rules) if failure is not None else ""
    return f"{told}; declare it: accept: [{', '.join((*rules.accept, 'missing_symbol'))}]" if told else ""


def _check_red(cells: Cells, declared: tuple[str, ...], check: Check) -> Found | None:
    """Does the RED, from commit and patch alone, fail as it was recorded?"""
    if cells.before is None or cells.before.problem:
        why = cells.before.problem if cells.before is not None else "its tests are not there"
        return ProofVerdict.UNPROVEN, (f"the RED does not run in a clean clone: {why}",)
    told = tuple(f"{nodeid}: {why}" for nodeid in declared if (why := check(cells.before, nodeid)))
    return (
        (ProofVerdict.UNPROVEN, tuple(f"the RED does not fail so in a clean clone: {each}" for each in told))
        if (told)
        else None
    )


def _check_product(cells: Cells, declared: tuple[str, ...], rules: Rules) -> Found | None:
    """Did the product change at all, or is it something else that made the tests pass?"""
    if rules.product:
        return None
    turned = [nodeid for nodeid in declared if get_outcome(cells.after, nodeid) == "passed"]
    if turned:
        told = "fails with the tests of the RED, passes with those of the GREEN; the product is the same"
        return ProofVerdict.TESTS_CHANGED, tuple(f"{nodeid}: {told}" for nodeid in turned)
    return ProofVerdict.NOTHING_CHANGED, ("no file of the product differs in its code",)


def _check_forward(cells: Cells, declared: tuple[str, ...]) -> Found | None:
    """Do the tests, as they stood at the RED, pass with the product of the GREEN?"""
    if cells.forward is None or cells.forward.problem:
        why = cells.forward.problem if cells.forward is not None else "they are not there"
        return ProofVerdict.UNPROVEN, (f"the tests of the RED do not run with the product of the GREEN: {why}",)
    told = "as it stood at the RED it does not pass with the product of the GREEN"
    left = tuple(f"{nodeid}: {told}" for nodeid in declared if get_outcome(cells.forward, nodeid) != "passed")
    return (ProofVerdict.TESTS_CHANGED, left) if left else None


def _check_reverted(cells: Cells, declared: tuple[str, ...], check: Check) -> Found | None:
    """Do the tests, as they stand at the GREEN, still fail with the product of the RED?"""
    cell = cells.reverted
    if cell is None or cell.problem:
        return None  # the tests of the RED have told
    passing = [nodeid for nodeid in declared if get_outcome(cell, nodeid) == "passed"]
    if passing:
        verdict = ProofVerdict.CHARACTERISATION if len(passing) == len(declared) else ProofVerdict.UNPROVEN
        told = "as it stands at the GREEN it passes with the product of the RED as well"
        return verdict, tuple(f"{nodeid}: {told}" for nodeid in passing)
    complaints = tuple(f"{nodeid}: {why}" for nodeid in declared if (why := check(cell, nodeid)))
    told = "with the product of the RED it does not fail as declared"
    return (ProofVerdict.UNPROVEN, tuple(f"{told}: {each}" for each in complaints)) if complaints else None
