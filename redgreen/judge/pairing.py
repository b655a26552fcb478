"""Put the processes of a run together, and a GREEN against its RED: pure functions, used to judge and to verify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from redgreen.codes import GREEN, GUARD, RED, Mode, Verdict
from redgreen.judge.conclusion import Conclusion, ErrorRow, Outcomes, RedSide, Repeat, TestRow, Transition
from redgreen.judge.events import Evidence, TestRecord
from redgreen.judge.identity import VERSION, Identity
from redgreen.judge.verdict import Judgement, find_owner, find_place, judge, may_skip
from redgreen.registry.model import Selector

Identities = Mapping[str, Identity]
OTHER_RULES = "the tests of the RED were identified by the rules of another redgreen; only a replay compares them"
SKIPS = ("skipped", "xfailed", "xpassed")


@dataclass(frozen=True, slots=True)
class Guarded:
    """A protected selector that ran beside a target."""

    selector: Selector
    evidence: Evidence


def conclude(
    selector: Selector,
    mode: Mode,
    runs: Sequence[Evidence],
    *,
    expected: Sequence[str] | None = None,
    guards: Sequence[Guarded] = (),
    red: RedSide | None = None,
    identities: Identities | None = None,
    identity: int = VERSION,
    artifact_problems: Sequence[str] = (),
) -> Conclusion:
    """Judge a run: the first reason that rules it out gives the verdict.

    `runs` are the processes of the selector itself, repeats included, and `guards` those of what it protects;
    `expected` are the exact ids where they are known; `red` is what a GREEN answers, compared with the `identities` of
    the tests now, which were taken by the rules of version `identity`.
    """
    judgements = [judge(evidence, selector, mode, expected) for evidence in runs]
    first = judgements[0]
    flaky, verdict, reasons = _compare_repeats(judgements, runs)
    transition = None
    if mode is RED and verdict.is_valid:
        verdict, reasons = _check_guards(guards) or (verdict, reasons)
    if mode is GREEN and red is not None:
        same_rules = (identities or {}) if identity == red.identity else None
        transition, guard_lost, guard_skips = _compare(selector, runs[0], red, guards, same_rules)
        verdict, reasons = _rule_out(verdict, reasons, transition, guard_lost, guard_skips)
    if verdict.is_valid and artifact_problems:
        verdict, reasons = Verdict.ARTIFACT_MISSING, tuple(artifact_problems)
    from_stub = verdict is Verdict.VALID_GREEN and red is not None and "stub" in red.kinds.values()
    return Conclusion(
        verdict,
        reasons,
        proof="CHARACTERISATION" if from_stub else None,
        declared=first.declared,
        tests=tuple(_make_row(record, selector, first, red) for record in runs[0].tests.values()),
        guards={guard.selector.name: _list_outcomes(guard.evidence) for guard in guards},
        transition=transition,
        repeat=Repeat(len(runs), flaky),
        reads=_list_reads(runs, selector),
    )


def _list_reads(runs: Sequence[Evidence], selector: Selector) -> tuple[str, ...] | None:
    """List what the tests read that is neither product nor belongs to the tests."""
    if any(evidence.reads is None for evidence in runs):
        return None
    found = {name for evidence in runs for name in evidence.reads or ()}
    known = ("tests", "product") if selector.product else ("tests",)
    return tuple(sorted(name for name in found if find_owner(name, selector) not in known))


def _check_guards(guards: Sequence[Guarded]) -> tuple[Verdict, tuple[str, ...]] | None:
    """Find the guards that do not hold at the RED: nothing could be lost of them later."""
    judged = [(guard.selector.name, judge(guard.evidence, guard.selector, GUARD)) for guard in guards]
    broken = tuple(
        f"{name}, which it protects, does not hold: {', '.join(found.reasons[:3])}"
        for name, found in judged
        if not found.verdict.is_valid
    )
    return (Verdict.GUARD_BROKEN, broken) if broken else None


def _list_outcomes(evidence: Evidence) -> Outcomes:
    return {nodeid: record.outcome for nodeid, record in evidence.tests.items()}


def _compare_repeats(
    judgements: Sequence[Judgement], runs: Sequence[Evidence]
) -> tuple[tuple[str, ...], Verdict, tuple[str, ...]]:
    """Compare the repeats test by test: the tests that differ, the verdict and its reasons."""
    first = judgements[0]
    outcomes = [_list_outcomes(evidence) for evidence in runs]
    nodeids = {nodeid for each in outcomes for nodeid in each}
    flaky = tuple(sorted(nodeid for nodeid in nodeids if len({each.get(nodeid) for each in outcomes}) > 1))
    for number, judgement in enumerate(judgements[1:], 2):
        if judgement.verdict in (Verdict.INTERRUPTED, Verdict.TIMEOUT) and first.verdict.is_valid:
            return flaky, judgement.verdict, tuple(f"repeat {number}: {each}" for each in judgement.reasons)
    different = {judgement.verdict for judgement in judgements}
    if flaky:
        told = (f"{nodeid}: {', '.join(each.get(nodeid, 'missing') for each in outcomes)}" for nodeid in flaky)
        return flaky, Verdict.FLAKY, tuple(told)
    if len(different) > 1:
        return flaky, Verdict.FLAKY, (f"the repeats ended as {', '.join(sorted(different))}",)
    return flaky, first.verdict, first.reasons


def _make_row(record: TestRecord, selector: Selector, judgement: Judgement, red: RedSide | None) -> TestRow:
    failure, error = record.failure, None
    if failure is not None:
        error = ErrorRow(
            failure.type,
            failure.kind,
            failure.message[:500],
            find_place(failure, selector),
            f"{failure.file}:{failure.line}",
            judgement.matched.get(record.id),
        )
    transition = _name_transition(red.outcomes.get(record.id), record.outcome) if red is not None else None
    return TestRow(record.id, record.outcome, record.phase, record.duration_s, error, transition)


def _name_transition(before: str | None, now: str) -> str:
    letters = {"passed": "P", "failed": "F"}
    return f"{letters.get(before or '', 'N' if before is None else 'O')}2{letters.get(now, 'O')}"


def _compare(
    selector: Selector, evidence: Evidence, red: RedSide, guards: Sequence[Guarded], identities: Identities | None
) -> tuple[Transition, list[str], list[str]]:
    """Compare a GREEN with its RED: the transition, then lost and newly skipped tests in the order of the RED."""
    now, before = _list_outcomes(evidence), red.outcomes
    passed = [nodeid for nodeid, outcome in before.items() if outcome == "passed"]
    lost = [nodeid for nodeid in before if nodeid not in now]
    lost += [nodeid for nodeid in passed if now.get(nodeid) in ("failed", "error")]
    skips = [nodeid for nodeid, outcome in now.items() if outcome in SKIPS and before.get(nodeid) not in SKIPS]
    guard_lost, guard_skips, guard_kept = _compare_guards(guards, red)
    kept = {nodeid for nodeid in passed if now.get(nodeid) == "passed"} | guard_kept
    changed, notes = _compare_identities(red, identities) if identities is not None else ([], [OTHER_RULES])
    allowed = [nodeid for nodeid in skips if now[nodeid] == "skipped" and may_skip(nodeid, selector)]
    notes += [f"{nodeid}: ran at the RED, skipped now, as the entry allows" for nodeid in allowed]
    lost, skips = lost + guard_lost, [nodeid for nodeid in skips if nodeid not in allowed] + guard_skips
    transition = Transition(
        f2p=sum(now.get(nodeid) == "passed" for nodeid in red.declared),
        declared=len(red.declared),
        still_failing=sum(now.get(nodeid) == "failed" for nodeid in red.declared),
        p2p=len(kept),
        lost=tuple(sorted({*lost})),
        new_skips=tuple(sorted({*skips})),
        added=tuple(sorted(now.keys() - before.keys())),
        test_changed=tuple(changed),
        notes=tuple(notes),
    )
    return transition, lost, skips


def _rule_out(
    verdict: Verdict, reasons: tuple[str, ...], transition: Transition, lost: list[str], skips: list[str]
) -> tuple[Verdict, tuple[str, ...]]:
    """Narrow the verdict by what the comparison found."""
    if verdict not in (Verdict.VALID_GREEN, Verdict.IDS_DISAGREE, Verdict.SKIPPED, Verdict.XFAILED):
        return verdict, reasons
    if lost:
        return Verdict.LOST_TESTS, tuple(f"passed or ran at the RED, lost now: {each}" for each in lost)
    if skips:
        return Verdict.NEW_SKIPS, tuple(f"ran at the RED, skipped now: {each}" for each in skips)
    if verdict is Verdict.VALID_GREEN and transition.test_changed:
        told = (f"changed between RED and GREEN: {each}" for each in transition.test_changed)
        return Verdict.TEST_CHANGED, tuple(told)
    if verdict is Verdict.VALID_GREEN and transition.f2p != transition.declared:
        return Verdict.STILL_RED, ("not every test that the RED declares passes now",)
    return verdict, reasons


def _compare_guards(guards: Sequence[Guarded], red: RedSide) -> tuple[list[str], list[str], set[str]]:
    """Return the protected tests that were lost, those newly skipped, and those kept."""
    lost: list[str] = []
    skips: list[str] = []
    kept: set[str] = set()
    for guard in guards:
        before = red.guards.get(guard.selector.name)
        if before is None:
            continue  # not protected, or planned, when the RED was recorded: there is nothing to compare with
        now = _list_outcomes(guard.evidence)
        whole = judge(guard.evidence, guard.selector, GUARD).verdict
        for nodeid, outcome in before.items():
            if outcome != "passed":
                continue
            if now.get(nodeid) == "passed" and whole in (Verdict.GUARD_HELD, Verdict.GUARD_BROKEN, Verdict.SKIPPED):
                kept.add(nodeid)
            elif now.get(nodeid) == "skipped" and may_skip(nodeid, guard.selector):
                continue
            elif now.get(nodeid) in SKIPS:
                skips.append(nodeid)
            else:
                lost.append(nodeid)
    return lost, skips, kept


def _compare_identities(red: RedSide, identities: Identities) -> tuple[list[str], list[str]]:
    """Return the tests whose code changed, and notes about changes that leave the code of the tests as it was."""
    changed = []
    notes = set()
    for nodeid in red.outcomes:
        before, now = red.identities.get(nodeid), identities.get(nodeid)
        if before is None or now is None:
            continue  # a missing test is lost, which is said elsewhere
        if before.ast != now.ast:
            changed.append(nodeid)
        elif before.file != now.file:
            notes.add(f"{nodeid.partition('::')[0]}: its bytes changed, its tests did not")
        if before.support != now.support:
            notes.add("conftest or pytest configuration changed; nothing of it that the tests use by name")
    return changed, sorted(notes)
