"""Put the processes of a run together, and a GREEN against its RED: pure functions, used to judge and to verify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redgreen.codes import Verdict
from redgreen.judge.events import Evidence, TestRecord
from redgreen.judge.verdict import Judgement, judge, raised_in
from redgreen.registry.model import Selector

__all__ = ["Conclusion", "Guarded", "RedSide", "conclude"]

Identities = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class RedSide:
    """What a GREEN must know of its RED.

    Attributes:
        run_id: The RED run.
        seal: Digest of its manifest.
        folder: Its folder, relative to the root.
        outcomes: Outcome of each test.
        declared: Ids that failed as declared.
        kinds: Class of failure of each declared test.
        guards: Outcomes of the protected selectors' tests before the change.
        identities: Identities of the tests.
    """

    run_id: str
    seal: str
    folder: str
    outcomes: dict[str, str]
    declared: tuple[str, ...]
    kinds: dict[str, str]
    guards: dict[str, dict[str, str]]
    identities: Identities


@dataclass(frozen=True, slots=True)
class Guarded:
    """A protected selector that ran beside a target."""

    selector: Selector
    evidence: Evidence


@dataclass(slots=True)
class Conclusion:
    """The verdict of a whole run and everything that result.json says about its tests."""

    verdict: Verdict
    reasons: list[str] = field(default_factory=list)
    proof: str | None = None
    declared: tuple[str, ...] = ()
    tests: list[dict[str, Any]] = field(default_factory=list)
    transition: dict[str, Any] | None = None
    flaky: list[str] = field(default_factory=list)
    guards: dict[str, dict[str, str]] = field(default_factory=dict)


def conclude(
    selector: Selector,
    mode: str,
    runs: Sequence[Evidence],
    *,
    expected: Sequence[str] | None = None,
    guards: Sequence[Guarded] = (),
    red: RedSide | None = None,
    identities: Identities | None = None,
    artifact_problems: Sequence[str] = (),
) -> Conclusion:
    """Judge a run.

    Args:
        selector: What was declared.
        mode: `red`, `green` or `guard`.
        runs: The processes of the selector itself, repeats included; at least one.
        expected: Exact ids where they are known.
        guards: The protected selectors' processes.
        red: The RED that a GREEN answers.
        identities: Identities of the tests now.
        artifact_problems: What the artifact audit found missing.

    Returns:
        The conclusion; the first reason that rules the run out gives the verdict.
    """
    judgements = [judge(evidence, selector, mode, expected) for evidence in runs]
    first = judgements[0]
    done = Conclusion(first.verdict, list(first.reasons), declared=first.declared)
    done.tests = [_row(record, selector, first, red) for record in runs[0].tests.values()]
    done.guards = {guard.selector.name: _outcomes(guard.evidence) for guard in guards}
    _repeats(done, judgements, runs)
    if mode == "green" and red is not None:
        _pair(done, runs[0], red, guards, identities or {})
    if done.verdict.is_valid and artifact_problems:
        done.verdict = Verdict.ARTIFACT_MISSING
        done.reasons = list(artifact_problems)
    if done.verdict is Verdict.VALID_GREEN and red is not None and "stub" in red.kinds.values():
        done.proof = "CHARACTERISATION"
    return done


def _outcomes(evidence: Evidence) -> dict[str, str]:
    return {nodeid: record.outcome for nodeid, record in evidence.tests.items()}


def _repeats(done: Conclusion, judgements: list[Judgement], runs: Sequence[Evidence]) -> None:
    """Every repeat must tell the same story, test by test."""
    outcomes = [_outcomes(evidence) for evidence in runs]
    nodeids = {nodeid for each in outcomes for nodeid in each}
    done.flaky = sorted(nodeid for nodeid in nodeids if len({each.get(nodeid) for each in outcomes}) > 1)
    for number, judgement in enumerate(judgements[1:], 2):
        if judgement.verdict in (Verdict.INTERRUPTED, Verdict.TIMEOUT) and done.verdict.is_valid:
            done.verdict, done.reasons = judgement.verdict, [f"repeat {number}: {each}" for each in judgement.reasons]
            return
    different = {judgement.verdict for judgement in judgements}
    if done.flaky or len(different) > 1:
        done.verdict = Verdict.FLAKY
        done.reasons = [
            f"{nodeid}: {', '.join(str(each.get(nodeid, 'missing')) for each in outcomes)}" for nodeid in done.flaky
        ] or [f"the repeats ended as {', '.join(sorted(different))}"]


def _row(record: TestRecord, selector: Selector, judgement: Judgement, red: RedSide | None) -> dict[str, Any]:
    error = None
    if record.failure is not None:
        error = {
            "type": record.failure.type,
            "class": record.failure.kind,
            "message": record.failure.message[:500],
            "raised_in": raised_in(record.failure, selector),
            "at": f"{record.failure.file}:{record.failure.line}",
            "matched_rule": judgement.matched.get(record.id),
        }
    row: dict[str, Any] = {
        "id": record.id,
        "outcome": record.outcome,
        "phase": record.phase,
        "duration_s": record.duration_s,
        "error": error,
    }
    if red is not None:
        row["transition"] = _transition(red.outcomes.get(record.id), record.outcome)
    return row


def _transition(before: str | None, now: str) -> str:
    letters = {"passed": "P", "failed": "F"}
    return f"{letters.get(before or '', 'N' if before is None else 'O')}2{letters.get(now, 'O')}"


def _pair(
    done: Conclusion, evidence: Evidence, red: RedSide, guards: Sequence[Guarded], identities: Identities
) -> None:
    now = _outcomes(evidence)
    fixed = [nodeid for nodeid in red.declared if now.get(nodeid) == "passed"]
    kept = [nodeid for nodeid, before in red.outcomes.items() if before == "passed" and now.get(nodeid) == "passed"]
    lost = [nodeid for nodeid in red.outcomes if nodeid not in now]
    lost += [
        nodeid
        for nodeid, before in red.outcomes.items()
        if before == "passed" and now.get(nodeid) in ("failed", "error")
    ]
    skips = [
        nodeid for nodeid, outcome in now.items() if _is_skip(outcome) and not _is_skip(red.outcomes.get(nodeid, ""))
    ]
    guard_lost, guard_skips, guard_kept = _guards(guards, red)
    changed, notes = _changes(red, identities)
    done.transition = {
        "f2p": len(fixed),
        "declared": len(red.declared),
        "still_failing": sum(now.get(nodeid) == "failed" for nodeid in red.declared),
        "p2p": len(kept) + guard_kept,
        "lost": sorted({*lost, *guard_lost}),
        "new_skips": sorted({*skips, *guard_skips}),
        "added": sorted(now.keys() - red.outcomes.keys()),
        "test_changed": changed,
        "notes": notes,
    }
    _rule_out(done, red, lost + guard_lost, skips + guard_skips, changed)


def _rule_out(done: Conclusion, red: RedSide, lost: list[str], skips: list[str], changed: list[str]) -> None:
    """Narrow the verdict by what the comparison found."""
    comparable = (Verdict.VALID_GREEN, Verdict.IDS_DISAGREE, Verdict.SKIPPED, Verdict.XFAILED)
    if done.verdict not in comparable:
        return
    if lost:
        done.verdict, done.reasons = (
            Verdict.LOST_TESTS,
            [f"passed or ran at the RED, lost now: {each}" for each in lost],
        )
    elif skips:
        done.verdict, done.reasons = Verdict.NEW_SKIPS, [f"ran at the RED, skipped now: {each}" for each in skips]
    elif done.verdict is Verdict.VALID_GREEN and changed:
        done.verdict = Verdict.TEST_CHANGED
        done.reasons = [f"changed between RED and GREEN: {each}" for each in changed]
    elif done.verdict is Verdict.VALID_GREEN and done.transition and done.transition["f2p"] != len(red.declared):
        done.verdict = Verdict.STILL_RED
        done.reasons = ["not every test that the RED declares passes now"]


def _is_skip(outcome: str) -> bool:
    return outcome in ("skipped", "xfailed", "xpassed")


def _guards(guards: Sequence[Guarded], red: RedSide) -> tuple[list[str], list[str], int]:
    """Protected tests that were lost, newly skipped, and the number kept."""
    lost: list[str] = []
    skips: list[str] = []
    kept = 0
    for guard in guards:
        before = red.guards.get(guard.selector.name)
        if before is None:
            continue  # not protected, or planned, when the RED was recorded: there is nothing to compare with
        now = _outcomes(guard.evidence)
        whole = judge(guard.evidence, guard.selector, "guard").verdict
        for nodeid, outcome in before.items():
            if outcome != "passed":
                continue
            if now.get(nodeid) == "passed" and whole in (Verdict.GUARD_HELD, Verdict.GUARD_BROKEN, Verdict.SKIPPED):
                kept += 1
            elif _is_skip(now.get(nodeid, "")):
                skips.append(nodeid)
            else:
                lost.append(nodeid)
    return lost, skips, kept


def _changes(red: RedSide, identities: Identities) -> tuple[list[str], list[str]]:
    """Tests whose code changed, and notes about changes that leave the code of the tests as it was."""
    changed = []
    notes = set()
    for nodeid in red.outcomes:
        before, now = red.identities.get(nodeid), identities.get(nodeid)
        if before is None or now is None:
            continue  # a missing test is lost, which is said elsewhere
        file = nodeid.partition("::")[0]
        if before["ast"] != now["ast"]:
            changed.append(nodeid)
        elif before["file"] != now["file"]:
            notes.add(f"{file}: its bytes changed, its tests did not")
        if before["support"] != now["support"]:
            notes.add("conftest or pytest configuration changed; nothing of it that the tests use by name")
    return changed, sorted(notes)
