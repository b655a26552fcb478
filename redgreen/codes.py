"""The modes of a run, the verdicts that it can end with, and the exit code of each verdict."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Self


class _Coded(StrEnum):
    """A verdict with its exit code."""

    exit_code: int

    def __new__(cls, name: str, exit_code: int) -> Self:
        """Make a member whose value is its name."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.exit_code = exit_code
        return member


class Verdict(_Coded):
    """How a run ended, with the exit code; 0 means as asked, every other is neither a RED nor a GREEN."""

    VALID_RED = "VALID_RED", 0
    VALID_GREEN = "VALID_GREEN", 0
    GUARD_HELD = "GUARD_HELD", 0
    NOTHING_FAILED = "NOTHING_FAILED", 10
    WRONG_REASON = "WRONG_REASON", 11
    COLLECTION_ERROR = "COLLECTION_ERROR", 12
    STILL_RED = "STILL_RED", 13
    LOST_TESTS = "LOST_TESTS", 14
    NEW_SKIPS = "NEW_SKIPS", 14
    TEST_CHANGED = "TEST_CHANGED", 15
    TIMEOUT = "TIMEOUT", 16
    FLAKY = "FLAKY", 17
    INTERRUPTED = "INTERRUPTED", 18
    OUTCOME_REWRITTEN = "OUTCOME_REWRITTEN", 19
    DISGUISED_IMPORT = "DISGUISED_IMPORT", 40
    FIXTURE_ERROR = "FIXTURE_ERROR", 41
    TEARDOWN_ERROR = "TEARDOWN_ERROR", 42
    NO_TESTS = "NO_TESTS", 43
    SKIPPED = "SKIPPED", 44
    XFAILED = "XFAILED", 45
    XPASSED = "XPASSED", 46
    CONFTEST_ERROR = "CONFTEST_ERROR", 47
    USAGE_ERROR = "USAGE_ERROR", 48
    CRASHED = "CRASHED", 49
    EXITED_EARLY = "EXITED_EARLY", 50
    WITNESSES_DISAGREE = "WITNESSES_DISAGREE", 51
    IDS_DISAGREE = "IDS_DISAGREE", 52
    ARTIFACT_MISSING = "ARTIFACT_MISSING", 53
    WRONG_TREE = "WRONG_TREE", 54
    PARTLY_RED = "PARTLY_RED", 55
    ABANDONED = "ABANDONED", 56
    GUARD_BROKEN = "GUARD_BROKEN", 57
    PYTEST_BROKE = "PYTEST_BROKE", 58

    @property
    def is_valid(self) -> bool:
        """Whether the run showed what was asked of it."""
        return self.exit_code == 0


class ProofVerdict(_Coded):
    """What a replay says about a change, with the exit code."""

    PROVEN = "PROVEN", 0
    CHARACTERISATION = "CHARACTERISATION", 60
    TESTS_CHANGED = "TESTS_CHANGED", 61
    NOTHING_CHANGED = "NOTHING_CHANGED", 62
    REGRESSING = "REGRESSING", 63
    FLAKY = "FLAKY", 64
    UNPROVEN = "UNPROVEN", 65
    RETROFITTED = "RETROFITTED", 66


EXIT_CODES: Final = {verdict: verdict.exit_code for verdict in Verdict}


class Mode(StrEnum):
    """What a run is meant to show; UNKNOWN is that of a run that died before it had recorded its own.

    Attributes:
        role: Role of the selectors that run in this mode.
        success: Verdict of a run that shows it.
        audited: Whether the declared artifacts must be there.
    """

    role: str
    success: Verdict
    audited: bool

    def __new__(cls, value: str, role: str, success: Verdict, audited: bool) -> Mode:
        """Make a member."""
        member = str.__new__(cls, value)
        member._value_, member.role, member.success, member.audited = value, role, success, audited
        return member

    RED = "red", "target", Verdict.VALID_RED, False
    GREEN = "green", "target", Verdict.VALID_GREEN, True
    GUARD = "guard", "guard", Verdict.GUARD_HELD, True
    UNKNOWN = "unknown", "", Verdict.ABANDONED, False


RED: Final = Mode.RED
GREEN: Final = Mode.GREEN
GUARD: Final = Mode.GUARD
UNKNOWN: Final = Mode.UNKNOWN
