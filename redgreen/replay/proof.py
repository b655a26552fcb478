"""Judge a replay: from what its four cells showed to one verdict, without running anything."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from redgreen.codes import ProofVerdict
from redgreen.judge.events import Failure
from redgreen.replay.cell import Cell
from redgreen.replay.change import lies_with_tests

__all__ = ["ACCEPTED", "Proof", "judge_replay"]

ACCEPTED: Final = ("assertion", "exception")
FAILING: Final = ("failed", "error")
# a parameter that a test passes and the product of before does not have
SIGNATURE: Final = re.compile(r"unexpected keyword argument|takes .* positional arguments? but")
WORD: Final = re.compile(r"\w+")
# an import that failed in another process, or was caught, and reached the test as a failed assertion
MISSING: Final = re.compile(r"ModuleNotFoundError: |ImportError: |AttributeError: (partially initialized )?module '")


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


def judge_replay(
    cells: Cells,
    *,
    product: Sequence[str],
    declared: bool = False,
    accept: Sequence[str] = ACCEPTED,
    new_names: frozenset[str] = frozenset(),
    find_disguise: Callable[[str], str] = lambda _: "",
) -> Proof:
    """Judge a replay; the first statement that holds decides.

    `product` are the changed files of the product, and `declared` says that they were named. `accept` are the classes
    of failure that count as a reason: assertion, exception, stub, missing_symbol. `new_names` are
    those that the product of before does not have, and `find_disguise` gives the one that a test looks for in a way
    that hides its absence.
    """
    held, notes = _compare_with_before(cells)
    verdict, reasons, fixed, more = _decide(
        cells, _Rules(tuple(product), declared, tuple(accept), new_names, find_disguise)
    )
    return Proof(verdict, reasons, fixed, held, notes + more)


@dataclass(frozen=True, slots=True)
class _Rules:
    """What is asked of a failure; the fields are the arguments of `judge_replay`."""

    product: tuple[str, ...]
    declared: bool
    accept: tuple[str, ...]
    new_names: frozenset[str]
    find_disguise: Callable[[str], str]


def _decide(cells: Cells, rules: _Rules) -> tuple[ProofVerdict, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Find the verdict, its reasons, the tests that were fixed and further notes."""
    for check in (_check_runs, _check_after, _check_old_tests):
        found = check(cells, bool(rules.product))
        if found is not None:
            return *found, (), ()
    if not rules.product:
        return ProofVerdict.NOTHING_CHANGED, ("no file of the product differs in its code",), (), ()
    if cells.reverted is None or cells.reverted.problem:
        why = cells.reverted.problem if cells.reverted is not None else "they were not run"
        return ProofVerdict.UNPROVEN, (f"with the product of before the tests do not run: {why}",), (), ()
    passing = cells.after.list_with("passed")
    failing = [nodeid for nodeid in passing if _get_outcome(cells.reverted, nodeid) in FAILING]
    if not failing and cells.reverted.uncollected:
        told = f"with the product of before {', '.join(cells.reverted.uncollected)} cannot be collected"
        return ProofVerdict.UNPROVEN, (told,), (), ()
    if not failing:
        told = f"{_count(passing)} pass{'es' if len(passing) == 1 else ''} with the product of before as well"
        return ProofVerdict.CHARACTERISATION, (told,), (), ()
    complaints = {nodeid: _check_failure(cells.reverted, nodeid, rules) for nodeid in failing}
    fixed = tuple(nodeid for nodeid, complaint in complaints.items() if not complaint)
    if not fixed:
        return ProofVerdict.UNPROVEN, tuple(f"{nodeid}: {told}" for nodeid, told in complaints.items()), (), ()
    reasons = tuple(f"{nodeid}: {_describe(cells.reverted.tests[nodeid].failure)}" for nodeid in fixed)
    notes = tuple(f"does not count, {nodeid}: {told}" for nodeid, told in complaints.items() if told)
    return ProofVerdict.PROVEN, reasons, fixed, notes


def confirm(proof: Proof, again: Cell) -> Proof:
    """Confirm a proof by the tests of after, run once more at the end: they may have told the cells apart by order."""
    changed = [nodeid for nodeid in proof.fixed if _get_outcome(again, nodeid) != "passed"]
    if not changed:
        return proof
    told = tuple(f"{nodeid}: passed first, {_get_outcome(again, nodeid) or 'gone'} at the end" for nodeid in changed)
    return replace(proof, verdict=ProofVerdict.FLAKY, reasons=told, fixed=())


def check_settings(proof: Proof, bare: Cell, settings: Sequence[str]) -> Proof:
    """Drop the tests that fail after the change as well where helpers and settings are those of before.

    Such a test may pass because a conftest patches the product. One that lacks a fixture or a name there says nothing.
    """
    plain = _Rules((), declared=False, accept=ACCEPTED, new_names=frozenset(), find_disguise=lambda _: "")
    failures = {nodeid: bare.tests[nodeid].failure for nodeid in proof.fixed if _get_outcome(bare, nodeid) == "failed"}
    turned = [nodeid for nodeid, failure in failures.items() if failure and _find_kind(failure, plain) in ACCEPTED]
    told = tuple(f"{nodeid}: passes only as {', '.join(settings)} changed as well" for nodeid in turned)
    fixed = tuple(nodeid for nodeid in proof.fixed if nodeid not in turned)
    if not fixed:
        return replace(proof, verdict=ProofVerdict.UNPROVEN, reasons=told, fixed=())
    return replace(proof, fixed=fixed, notes=(*proof.notes, *told))


def _get_outcome(cell: Cell | None, nodeid: str) -> str:
    record = cell.tests.get(nodeid) if cell is not None else None
    return record.outcome if record is not None else ""


def _check_runs(cells: Cells, _product_changed: bool) -> tuple[ProofVerdict, tuple[str, ...]] | None:
    """Did the tests run after the change, and every cell end the same way each time?"""
    if cells.after.problem:
        return ProofVerdict.UNPROVEN, (f"after the change the tests do not run: {cells.after.problem}",)
    flaky = [f"{nodeid}: its repeats differ ({cell.name})" for cell in cells.list() for nodeid in cell.flaky]
    return (ProofVerdict.FLAKY, tuple(flaky)) if flaky else None


def _check_after(cells: Cells, _product_changed: bool) -> tuple[ProofVerdict, tuple[str, ...]] | None:
    """Does everything that ran after the change pass, or at least nothing fail that passed before?"""
    failing = cells.after.list_with(*FAILING, "xpassed")
    if not failing:
        if cells.after.list_with("passed"):
            return None
        return ProofVerdict.UNPROVEN, ("after the change no test passes: all are skipped, or expected to fail",)
    broken = [nodeid for nodeid in failing if _get_outcome(cells.before, nodeid) == "passed"]
    if broken:
        return ProofVerdict.REGRESSING, tuple(f"{nodeid}: passed before, fails after the change" for nodeid in broken)
    reasons = (
        f"{nodeid}: fails after the change: {_describe(cells.after.tests[nodeid].failure)}" for nodeid in failing
    )
    return ProofVerdict.UNPROVEN, tuple(reasons)


def _check_old_tests(cells: Cells, product_changed: bool) -> tuple[ProofVerdict, tuple[str, ...]] | None:
    """Do the tests that failed before pass with the new product as they stood, and not only as they stand now?"""
    if cells.before is None or cells.forward is None:
        return None
    weakened = [
        nodeid
        for nodeid in cells.before.list_with(*FAILING)
        if _get_outcome(cells.after, nodeid) == "passed" and _get_outcome(cells.forward, nodeid) != "passed"
    ]
    why = (
        "as it stood before the change it fails with the new product" if product_changed else "the product is the same"
    )
    return (ProofVerdict.TESTS_CHANGED, tuple(f"{nodeid}: {why}" for nodeid in weakened)) if weakened else None


def _compare_with_before(cells: Cells) -> tuple[int, tuple[str, ...]]:
    """Count what passed before and after, and name what passed before and does not run now."""
    if cells.before is None:
        return 0, ("nothing was looked at for losses: the test files are new",)
    if cells.before.problem:
        return 0, (f"nothing was looked at for losses: before the change {cells.before.problem}",)
    passed = cells.before.list_with("passed")
    failed = [nodeid for nodeid in cells.before.list_with(*FAILING) if not _get_outcome(cells.after, nodeid)]
    held = sum(_get_outcome(cells.after, nodeid) == "passed" for nodeid in passed)
    gone = [nodeid for nodeid in passed if not _get_outcome(cells.after, nodeid)]
    silent = [nodeid for nodeid in passed if _get_outcome(cells.after, nodeid) in ("skipped", "xfailed")]
    notes = [f"gone: {nodeid} passed before" for nodeid in gone]
    notes += [f"gone: {nodeid} failed before" for nodeid in failed]
    notes += [
        f"nothing was looked at for losses in {name}: it cannot be collected" for name in _list_uncollected(cells)
    ]
    notes += [f"no longer asked: {nodeid} passed before, {_get_outcome(cells.after, nodeid)} now" for nodeid in silent]
    if cells.forward is not None:
        notes += [
            f"expects otherwise now: {nodeid}, as it stood before, fails with the new product"
            for nodeid in passed
            if _get_outcome(cells.forward, nodeid) in FAILING and _get_outcome(cells.after, nodeid) == "passed"
        ]
    return held, tuple(notes if held or notes else ["nothing was looked at for losses: no test passed before"])


def _find_kind(failure: Failure, rules: _Rules) -> str:
    """Find the class of a failure; a name missing in the product is told from one that the product stumbles over."""
    with_tests = not failure.origin or lies_with_tests(failure.origin)
    if failure.type == "TypeError" and with_tests and SIGNATURE.search(failure.message):
        return "missing_symbol"
    is_import = "ImportError" in (failure.type, *failure.bases)
    if failure.kind != "missing_symbol" or with_tests or is_import:
        return failure.kind
    return "missing_symbol" if rules.new_names & set(WORD.findall(failure.message)) else "exception"


def _list_uncollected(cells: Cells) -> list[str]:
    found = [cell.uncollected for cell in (cells.before, cells.forward) if cell is not None]
    return sorted({name for names in found for name in names})


def _check_failure(cell: Cell, nodeid: str, rules: _Rules) -> str:
    """Say why a failure without the product does not count; empty when it does."""
    record = cell.tests[nodeid]
    if record.outcome == "error":
        return f"breaks in {record.phase}, not in the test: {_describe(record.failure)}"
    failure = record.failure
    if failure is None:
        return "fails, and no exception was seen"
    kind = _find_kind(failure, rules)
    if kind not in rules.accept:
        return f"fails by {_describe(failure)} (class {kind}; accepted: {', '.join(rules.accept)})"
    if nodeid.partition("::")[0] in rules.product:
        return "the test itself stands in a changed file of the product"
    if failure.kind == "assertion" and failure.origin in rules.product and not rules.declared:
        return f"the assertion that fails stands in {failure.origin}, which changed: name the product by --product"
    if "missing_symbol" in rules.accept:
        return ""
    if failure.kind == "assertion" and MISSING.search(failure.message):
        return f"an import failed behind it ({_describe(failure)}); --accept missing_symbol would let it count"
    disguise = rules.find_disguise(nodeid)
    return f"asks whether {disguise} exists; --accept missing_symbol would let it count" if disguise else ""


def _describe(failure: Failure | None) -> str:
    if failure is None:
        return "no exception was seen"
    told = failure.message.strip().splitlines()[:1] or [""]
    where = f" ({failure.file}:{failure.line})" if failure.file else ""
    return f"{failure.type}: {told[0][:160]}{where}"


def _count(tests: Sequence[str]) -> str:
    return f"{len(tests)} test" if len(tests) == 1 else f"all {len(tests)} tests"
