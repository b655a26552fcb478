"""Judge one pytest process: a pure function from what was seen and what was declared to a verdict."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from redgreen.codes import GREEN, RED, Mode, Verdict
from redgreen.judge.events import Evidence, Failure, TestRecord, make_junit_key
from redgreen.registry.model import ACCEPTED_HIDDEN, Rule, Selector, covers


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its reasons.

    Attributes:
        verdict: How the run ended.
        reasons: One line each, the decisive ones first; empty for a valid run.
        declared: Ids of the tests that the RED declares.
        matched: For each failed test that met its declaration, the index of the rule.
    """

    verdict: Verdict
    reasons: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()
    matched: dict[str, int] = field(default_factory=dict)


def judge(evidence: Evidence, selector: Selector, mode: Mode, expected: Sequence[str] | None = None) -> Judgement:
    """Judge one process; `expected` are the exact ids where they are known (frozen, or those of the RED).

    The first verdict that applies counts, from "did the session run at all" down to the failure's own reason.
    """
    for step in (_check_session, _check_ids, _check_records, _check_phases):
        found = step(evidence, selector, expected)
        if found is not None:
            return found
    if mode is RED:
        return _judge_red(evidence, selector)
    return _judge_passing(evidence, selector, mode)


def find_declared(ids: Iterable[str], selector: Selector) -> tuple[str, ...]:
    """Find the tests that the reasons of the RED name."""
    rules = selector.red.reasons if selector.red else ()
    return tuple(nodeid for nodeid in ids if any(is_named_by(rule, nodeid) for rule in rules))


def is_named_by(rule: Rule, nodeid: str) -> bool:
    """Return whether a reason is about the test."""
    pattern = rule.tests.replace("[", "[[]")  # brackets in ids are parameters, not sets of characters
    return fnmatch.fnmatchcase(nodeid, pattern)


def _check_session(evidence: Evidence, _selector: Selector, _expected: Sequence[str] | None) -> Judgement | None:
    """Did pytest start, collect and come to its end by itself? The first sign that it did not decides."""
    unfinished = evidence.finish_rc is None
    uncollected = tuple(f"cannot collect {node}" for node in evidence.collect_errors)
    signs: tuple[tuple[object, Verdict, tuple[str, ...]], ...] = (
        (evidence.interrupted, Verdict.INTERRUPTED, (f"the runner got {evidence.interrupted}",)),
        (evidence.timed_out, Verdict.TIMEOUT, ("the budget was used up and the run was ended",)),
        (evidence.rc < 0, Verdict.CRASHED, (f"pytest was ended by signal {-evidence.rc}",)),
        (evidence.conftest_error, Verdict.CONFTEST_ERROR, (f"conftest: {evidence.conftest_error}",)),
        (evidence.internal_error, Verdict.PYTEST_BROKE, (f"pytest or a plugin broke: {evidence.internal_error}",)),
        (evidence.collect_errors, Verdict.COLLECTION_ERROR, uncollected),
        (evidence.interrupt, Verdict.EXITED_EARLY, (f"cut short from inside the session: {evidence.interrupt}",)),
        (evidence.rc == 4, Verdict.USAGE_ERROR, ("pytest refused the command line (option, file or test id)",)),
        (unfinished, Verdict.EXITED_EARLY, ("the process ended before pytest finished its session",)),
        (evidence.malformed, Verdict.WITNESSES_DISAGREE, (f"{evidence.malformed} unreadable lines in the events",)),
    )
    for sign, verdict, reasons in signs:
        if sign:
            return Judgement(verdict, reasons)
    if not evidence.collected and evidence.collect_skips:
        return Judgement(Verdict.SKIPPED, tuple(f"skipped as a whole: {node}" for node in evidence.collect_skips))
    if not evidence.collected:
        return Judgement(Verdict.NO_TESTS, ("nothing was collected",))
    return None


def _check_ids(evidence: Evidence, selector: Selector, expected: Sequence[str] | None) -> Judgement | None:
    """Do the collected, expected and reported ids agree?"""
    reasons = [f"dropped at collection without a word: {nodeid}" for nodeid in evidence.dropped]
    collected = set(evidence.collected)
    if len(collected) != len(evidence.collected):
        reasons.append("a test id was collected twice")
    reported = {nodeid for nodeid, record in evidence.tests.items() if record.outcome}
    reasons += [f"collected and never reported: {nodeid}" for nodeid in evidence.collected if nodeid not in reported]
    reasons += [f"reported and never collected: {nodeid}" for nodeid in sorted(reported - collected)]
    if expected is not None:
        reasons += [f"expected and not collected: {nodeid}" for nodeid in expected if nodeid not in collected]
        reasons += [f"collected and not expected: {nodeid}" for nodeid in sorted(collected - set(expected))]
    if not selector.count.allows(len(collected)):
        reasons.append(f"{len(collected)} tests collected, expected {selector.count}")
    for part in selector.select:
        if "::" in part and not any(covers(part, nodeid) for nodeid in collected):
            reasons.append(f"selected and not collected: {part}")
    return Judgement(Verdict.IDS_DISAGREE, tuple(reasons)) if reasons else None


def _check_records(evidence: Evidence, _selector: Selector, _expected: Sequence[str] | None) -> Judgement | None:
    """Do the events, junit and the exit code agree?"""
    records = list(evidence.tests.values())
    contradictions = [f"{record.id}: {record.contradiction}" for record in records if record.contradiction]
    broken = any(record.outcome in ("failed", "error") or record.strict for record in records)
    if evidence.rc != evidence.finish_rc:
        contradictions.append(f"pytest finished with code {evidence.finish_rc}, the process ended with {evidence.rc}")
    elif evidence.rc != int(broken):
        contradictions.append(f"the exit code is {evidence.rc}, the tests say {int(broken)}")
    if contradictions:
        return Judgement(Verdict.OUTCOME_REWRITTEN, tuple(contradictions))
    if evidence.junit is None:
        return Judgement(Verdict.WITNESSES_DISAGREE, ("the junit file is missing or not whole",))
    said = Counter(evidence.junit)
    seen = Counter((*make_junit_key(record.id), _find_junit_outcome(record)) for record in records)
    seen += Counter((*make_junit_key(node), "skipped") for node in evidence.collect_skips)
    if any(record.subtests or record.phase == "teardown" for record in records):
        return None  # junit writes several cases for one test here, and neither can be valid
    if said != seen:
        odd = sorted((said - seen) + (seen - said))[:5]
        return Judgement(
            Verdict.WITNESSES_DISAGREE,
            tuple(f"junit and events differ about {module}.{name} ({outcome})" for module, name, outcome in odd),
        )
    return None


def _find_junit_outcome(record: TestRecord) -> str:
    if record.outcome == "xpassed":
        return "failed" if record.strict else "passed"
    return {"xfailed": "skipped"}.get(record.outcome, record.outcome)


def _check_phases(evidence: Evidence, selector: Selector, _expected: Sequence[str] | None) -> Judgement | None:
    """Did everything that broke break in a test's own call?"""
    if evidence.outside:
        names = ", ".join(evidence.outside)
        return Judgement(Verdict.WRONG_TREE, (f"imported from outside of this repository: {names}",))
    records = evidence.tests.values()
    for verdict, chosen in (
        (Verdict.TIMEOUT, [r for r in records if r.timeout]),
        (Verdict.FIXTURE_ERROR, [r for r in records if r.outcome == "error" and r.phase == "setup"]),
        (Verdict.TEARDOWN_ERROR, [r for r in records if r.outcome == "error" and r.phase == "teardown"]),
        (Verdict.XPASSED, [r for r in records if r.outcome == "xpassed"]),
    ):
        if chosen:
            return Judgement(verdict, tuple(_format(record) for record in chosen))
    return _check_skips(evidence, selector)


def _check_skips(evidence: Evidence, selector: Selector) -> Judgement | None:
    """Were no more tests skipped, or expected to fail, than the entry allows, and did any test run at all?"""
    records = evidence.tests.values()
    xfailed = [record.id for record in records if record.outcome == "xfailed"]
    skipped = [record.id for record in records if record.outcome == "skipped"]
    counted = [node for node in (*skipped, *evidence.collect_skips) if not may_skip(node, selector)]
    for verdict, word, chosen, allowed, every in (
        (Verdict.SKIPPED, "skipped", counted, selector.max_skipped, skipped),
        (Verdict.XFAILED, "xfailed", xfailed, selector.max_xfailed, xfailed),
    ):
        if len(chosen) > allowed or (every and len(every) == len(evidence.tests)):
            return Judgement(verdict, tuple(f"{nodeid} {word}" for nodeid in chosen or every))
    return None


def may_skip(nodeid: str, selector: Selector) -> bool:
    """Return whether the entry lets a test, or a whole file, skip; a declared test may never."""
    if find_declared([nodeid], selector):
        return False
    return any(fnmatch.fnmatchcase(nodeid, glob.replace("[", "[[]")) for glob in selector.may_skip)


def _format(record: TestRecord) -> str:
    told = record.failure
    what = f": {told.type}: {told.message.splitlines()[0][:120]}" if told and told.message.strip() else ""
    return f"{record.id} {record.outcome} in {record.phase}{what}"


def _judge_passing(evidence: Evidence, selector: Selector, mode: Mode) -> Judgement:
    declared = find_declared(evidence.collected, selector)
    failed = [record for record in evidence.tests.values() if record.outcome == "failed"]
    if not failed:
        return Judgement(mode.success, (), declared)
    reasons = tuple(_format(record) for record in failed)
    if mode is not GREEN:
        return Judgement(Verdict.GUARD_BROKEN, reasons, declared)
    still = any(record.id in declared for record in failed)
    return Judgement(Verdict.STILL_RED if still else Verdict.LOST_TESTS, reasons, declared)


def _judge_red(evidence: Evidence, selector: Selector) -> Judgement:
    declared, records = find_declared(evidence.collected, selector), evidence.tests
    rules = selector.red.reasons if selector.red else ()
    failed = [record for record in records.values() if record.outcome == "failed"]
    unnamed = [rule.tests for rule in rules if not any(is_named_by(rule, nodeid) for nodeid in declared)]
    if not declared or unnamed:
        told = tuple(f"no collected test is named by '{name}'" for name in unnamed) or ("no RED is declared",)
        return Judgement(Verdict.IDS_DISAGREE, told)
    if not failed:
        return Judgement(Verdict.NOTHING_FAILED, (f"{len(records)} tests, none failed",), declared)
    reasons: list[str] = []
    verdict = Verdict.VALID_RED
    matched: dict[str, int] = {}
    for record in failed:
        problem: tuple[Verdict, str] | None = Verdict.WRONG_REASON, "failed, and no RED is declared for it"
        if record.id in declared:
            problem = check_rules(record, selector, matched)
        if problem is not None:
            verdict = problem[0] if verdict is Verdict.VALID_RED else verdict
            reasons.append(f"{record.id}: {problem[1]}")
    missing = [nodeid for nodeid in declared if records[nodeid].outcome != "failed"]
    if missing:
        verdict = Verdict.PARTLY_RED if verdict is Verdict.VALID_RED else verdict
        reasons += [f"{nodeid}: declared to fail, {records[nodeid].outcome}" for nodeid in missing]
    return Judgement(verdict, tuple(reasons), declared, {} if reasons else matched)


def check_rules(record: TestRecord, selector: Selector, matched: dict[str, int]) -> tuple[Verdict, str] | None:
    """Compare a failure with the reasons declared for its test; None when one of them is met."""
    failure = record.failure
    assert selector.red is not None
    if failure is None or record.subtests:
        return Verdict.WRONG_REASON, "failed through a subtest, whose reason cannot be read"
    hidden = [name for name in failure.hidden if name not in selector.red.accept_hidden]
    if failure.kind != "missing_symbol" and hidden:
        return Verdict.DISGUISED_IMPORT, f"{failure.type} hides {', '.join(hidden)}{_suggest_hidden(hidden)}"
    if failure.kind not in selector.red.accept:
        return (
            Verdict.WRONG_REASON,
            f"{failure.type} is of class {failure.kind}, accepted: {', '.join(selector.red.accept)}",
        )
    complaints = []
    for index, rule in enumerate(selector.red.reasons):
        if is_named_by(rule, record.id):
            complaint = _check_rule(failure, rule, selector)
            if not complaint:
                matched[record.id] = index
                return None
            complaints.append(complaint)
    return Verdict.WRONG_REASON, "; ".join(complaints)


def _suggest_hidden(names: list[str]) -> str:
    """Say what lets errors count that are a product's own way of going on."""
    own = [name for name in names if name in ACCEPTED_HIDDEN]
    if len(own) < len(names):
        return ""
    return f"; where the product handles it itself, declare `accept_hidden: [{', '.join(dict.fromkeys(own))}]`"


def _check_rule(failure: Failure, rule: Rule, selector: Selector) -> str:
    if not failure.is_named(rule.type):
        return f"raised {failure.type}, declared {rule.type}"
    if not re.search(rule.match, failure.message):
        return f"the message {failure.message.splitlines()[:1]} does not match '{rule.match}'"
    where = find_place(failure, selector)
    if where != rule.raised_in:
        return f"raised in {where} ({failure.file}:{failure.line}), declared {rule.raised_in}"
    return ""


def find_place(failure: Failure, selector: Selector) -> str:
    """Return whose code raised it: tests, product, third_party, or elsewhere (in the repository, but no product)."""
    return find_owner(failure.file, selector) if failure.inside else "third_party"


def find_owner(file: str, selector: Selector) -> str:
    """Return to whom a file of the repository belongs: tests, product, or elsewhere where a product is declared."""
    path = PurePosixPath(file)
    support = {part.partition("::")[0] for part in selector.test_support}
    in_tests = any(path.is_relative_to(root) for root in selector.tests_roots) or file in support
    if in_tests or path.name == "conftest.py" or path.match("test_*.py") or path.match("*_test.py"):
        return "tests"
    if selector.product and not any(fnmatch.fnmatchcase(file, glob) for glob in selector.product):
        return "elsewhere"
    return "product"
