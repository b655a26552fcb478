"""The modes of a run, the verdicts that it can end with, and the exit code of each verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["EXIT_CODES", "GREEN", "GUARD", "RED", "UNKNOWN", "Mode", "Verdict"]


class Verdict(StrEnum):
    """How a run ended. Only the three first are what was asked for; every other is neither a RED nor a GREEN."""

    VALID_RED = "VALID_RED"
    VALID_GREEN = "VALID_GREEN"
    GUARD_HELD = "GUARD_HELD"

    NOTHING_FAILED = "NOTHING_FAILED"
    WRONG_REASON = "WRONG_REASON"
    COLLECTION_ERROR = "COLLECTION_ERROR"
    STILL_RED = "STILL_RED"
    LOST_TESTS = "LOST_TESTS"
    NEW_SKIPS = "NEW_SKIPS"
    TEST_CHANGED = "TEST_CHANGED"
    TIMEOUT = "TIMEOUT"
    FLAKY = "FLAKY"
    INTERRUPTED = "INTERRUPTED"
    OUTCOME_REWRITTEN = "OUTCOME_REWRITTEN"

    DISGUISED_IMPORT = "DISGUISED_IMPORT"
    FIXTURE_ERROR = "FIXTURE_ERROR"
    TEARDOWN_ERROR = "TEARDOWN_ERROR"
    NO_TESTS = "NO_TESTS"
    SKIPPED = "SKIPPED"
    XFAILED = "XFAILED"
    XPASSED = "XPASSED"
    CONFTEST_ERROR = "CONFTEST_ERROR"
    USAGE_ERROR = "USAGE_ERROR"
    CRASHED = "CRASHED"
    EXITED_EARLY = "EXITED_EARLY"
    WITNESSES_DISAGREE = "WITNESSES_DISAGREE"
    IDS_DISAGREE = "IDS_DISAGREE"
    ARTIFACT_MISSING = "ARTIFACT_MISSING"
    WRONG_TREE = "WRONG_TREE"
    PARTLY_RED = "PARTLY_RED"
    ABANDONED = "ABANDONED"
    GUARD_BROKEN = "GUARD_BROKEN"
    PYTEST_BROKE = "PYTEST_BROKE"

    @property
    def exit_code(self) -> int:
        """Exit code of a command whose run ended so; 0 means as asked."""
        return EXIT_CODES[self]

    @property
    def is_valid(self) -> bool:
        """Whether the run showed what was asked of it."""
        return EXIT_CODES[self] == 0


EXIT_CODES: Final[dict[Verdict, int]] = {
    Verdict.VALID_RED: 0,
    Verdict.VALID_GREEN: 0,
    Verdict.GUARD_HELD: 0,
    Verdict.NOTHING_FAILED: 10,
    Verdict.WRONG_REASON: 11,
    Verdict.COLLECTION_ERROR: 12,
    Verdict.STILL_RED: 13,
    Verdict.LOST_TESTS: 14,
    Verdict.NEW_SKIPS: 14,
    Verdict.TEST_CHANGED: 15,
    Verdict.TIMEOUT: 16,
    Verdict.FLAKY: 17,
    Verdict.INTERRUPTED: 18,
    Verdict.OUTCOME_REWRITTEN: 19,
    Verdict.DISGUISED_IMPORT: 40,
    Verdict.FIXTURE_ERROR: 41,
    Verdict.TEARDOWN_ERROR: 42,
    Verdict.NO_TESTS: 43,
    Verdict.SKIPPED: 44,
    Verdict.XFAILED: 45,
    Verdict.XPASSED: 46,
    Verdict.CONFTEST_ERROR: 47,
    Verdict.USAGE_ERROR: 48,
    Verdict.CRASHED: 49,
    Verdict.EXITED_EARLY: 50,
    Verdict.WITNESSES_DISAGREE: 51,
    Verdict.IDS_DISAGREE: 52,
    Verdict.ARTIFACT_MISSING: 53,
    Verdict.WRONG_TREE: 54,
    Verdict.PARTLY_RED: 55,
    Verdict.ABANDONED: 56,
    Verdict.GUARD_BROKEN: 57,
    Verdict.PYTEST_BROKE: 58,
}


@dataclass(frozen=True, slots=True)
class Mode:
    """What a run is meant to show.

    Attributes:
        name: `red`, `green` or `guard`; `unknown` for a run that died before it had said so.
        role: Role of the selectors that run in this mode.
        success: Verdict of a run that shows it.
        audited: Whether the declared artifacts must be there.
    """

    name: str
    role: str
    success: Verdict
    audited: bool

    def __str__(self) -> str:
        return self.name

    @classmethod
    def parse(cls, name: object) -> Mode:
        """Return the mode of that name.

        Raises:
            ValueError: There is none.
        """
        for mode in (RED, GREEN, GUARD, UNKNOWN):
            if mode.name == name:
                return mode
        raise ValueError(f"there is no mode {name!r}")


RED: Final = Mode("red", "target", Verdict.VALID_RED, audited=False)
GREEN: Final = Mode("green", "target", Verdict.VALID_GREEN, audited=True)
GUARD: Final = Mode("guard", "guard", Verdict.GUARD_HELD, audited=True)
UNKNOWN: Final = Mode("unknown", "", Verdict.ABANDONED, audited=False)
