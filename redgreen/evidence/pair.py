"""What a reader wants to know of a run and of the RED that it answers; every page and text is made from this."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from redgreen.codes import GREEN, ProofVerdict, Verdict
from redgreen.evidence.record import Result
from redgreen.evidence.replayed import ReplayRecord
from redgreen.judge.conclusion import ErrorRow, TestRow
from redgreen.registry.model import Selector

MEANING: Final = {
    Verdict.VALID_RED: "Every declared test failed in its call, with the declared exception, message and place.",
    Verdict.VALID_GREEN: "The declared tests of the RED pass now, and nothing that passed was lost.",
    Verdict.GUARD_HELD: "Every test of this guard passed.",
    Verdict.ABANDONED: "The run did not come to its end; it shows nothing.",
}
INVALID: Final = "This run counts neither as a RED nor as a GREEN."
PROOF: Final = {
    ProofVerdict.PROVEN: "Replayed: without the change of the product the tests fail, with it they pass.",
    ProofVerdict.CHARACTERISATION: "Replayed: the tests pass; nothing shows that they would notice the old product.",
    ProofVerdict.TESTS_CHANGED: "Replayed: the tests as they stood before still fail with the new product.",
    ProofVerdict.NOTHING_CHANGED: "Replayed: no file of the product differs in its code.",
    ProofVerdict.REGRESSING: "Replayed: a test that passed before fails after the change.",
    ProofVerdict.FLAKY: "Replayed: the repeats disagree, so that nothing is proven.",
    ProofVerdict.UNPROVEN: "Replayed: nothing is proven; the reason stands below.",
    ProofVerdict.RETROFITTED: "Replayed: the product was there before the RED, which was recorded afterwards.",
}
FROM_STUB: Final = (
    "The RED of this pair came from a stub: the pair shows that the test runs and now passes, "
    "not that it tells working code from broken code."
)
NOT_REPLAYED: Final = "Not replayed: nobody has yet run these tests without the change of the product."


@dataclass(frozen=True, slots=True)
class Fixed:
    """A declared test: how it failed at the RED (None where that is not known), and what it does now."""

    id: str
    before: ErrorRow | None
    now: TestRow | None

    @property
    def outcome(self) -> str:
        """Its outcome now."""
        return self.now.outcome if self.now else "not reported"


@dataclass(frozen=True, slots=True)
class Protected:
    """A guard that ran beside a target: how many of its tests passed at the RED and now, of how many.

    None means that it did not run then, so that nothing was looked at.
    """

    name: str
    before: tuple[int, int] | None
    now: tuple[int, int] | None

    @property
    def told(self) -> str:
        """What that says, in a few words."""
        if self.now is None:
            return "nothing was looked at"
        if self.before is None:
            return "nothing to compare with: not run at the RED"
        return "held" if self.now[0] >= self.before[0] else "lost"


def explain(result: Result) -> str:
    """Say in one sentence what the verdict means."""
    return MEANING.get(result.verdict, INVALID)


def name_proof(result: Result, replay: ReplayRecord | None) -> str:
    """Name what the pair proves; empty for what is no GREEN, or an invalid one that was not replayed."""
    if replay is not None:
        return str(replay.verdict)
    return result.proof or ("not replayed" if result.verdict is Verdict.VALID_GREEN else "")


def explain_proof(result: Result, replay: ReplayRecord | None) -> str:
    """Say in one sentence what that means; empty where there is no proof to name."""
    if replay is not None:
        return PROOF[replay.verdict]
    if result.proof:
        return FROM_STUB
    return NOT_REPLAYED if result.verdict is Verdict.VALID_GREEN else ""


def list_fixed(result: Result, red: Result | None) -> tuple[Fixed, ...]:
    """List the declared tests of a RED, or those that a GREEN was asked to fix."""
    now = {row.id: row for row in result.tests}
    if result.mode is not GREEN:
        return tuple(Fixed(nodeid, now[nodeid].error, now[nodeid]) for nodeid in result.declared if nodeid in now)
    then = {row.id: row.error for row in red.tests} if red else {}
    return tuple(Fixed(nodeid, then.get(nodeid), now.get(nodeid)) for nodeid in (red or result).declared)


def list_others(result: Result, fixed: tuple[Fixed, ...]) -> tuple[TestRow, ...]:
    """List the tests that did not simply pass and are none of the declared ones."""
    known = {one.id for one in fixed}
    return tuple(row for row in result.tests if row.id not in known and row.outcome != "passed")


def list_protected(result: Result, selector: Selector, red: Result | None) -> tuple[Protected, ...]:
    """List what the selector protects, each with what it showed at the RED and now; of a RED, only now."""
    then = red.guards if red else {}
    return tuple(
        Protected(name, _count_passed(then.get(name)), _count_passed(result.guards.get(name)))
        for name in selector.protects
    )


def count(number: int, noun: str) -> str:
    """Write a number with its noun: `1 test`, `2 tests`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def count_outcomes(result: Result) -> str:
    """Count the outcomes in a few words: `1 failed`, `3 F2P, 2 P2P`."""
    if result.transition:
        kept = result.transition.p2p
        return f"{result.transition.f2p} F2P" + (f", {kept} P2P" if kept else "")
    return format_outcomes(count_by_outcome(result))


def count_by_outcome(result: Result) -> dict[str, int]:
    """Count the tests of each outcome."""
    return dict(sorted(Counter(row.outcome for row in result.tests).items()))


def format_outcomes(counts: dict[str, int]) -> str:
    """Say counted outcomes in a few words."""
    return ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items())) or "none"


def _count_passed(outcomes: dict[str, str] | None) -> tuple[int, int] | None:
    if not outcomes:
        return None
    return sum(outcome == "passed" for outcome in outcomes.values()), len(outcomes)
