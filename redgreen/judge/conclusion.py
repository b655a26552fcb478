"""What a whole run showed, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from redgreen.codec import OMITTED
from redgreen.codes import Verdict
from redgreen.judge.identity import VERSION, Identity

Outcomes = dict[str, str]


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """The exception of a test; `kind` (`class` in the record) is assertion, stub, missing_symbol or exception.

    `message` holds the first 500 characters, `matched_rule` the index of the declared reason that it met.
    """

    type: str
    kind: str = field(metadata={"key": "class"})
    message: str
    raised_in: str
    at: str
    matched_rule: int | None


@dataclass(frozen=True, slots=True)
class TestRow:
    """One test; `transition` (as in `F2P`) is there when the run answers a RED."""

    __test__ = False  # for pytest, which would collect a class of this name

    id: str
    outcome: str
    phase: str
    duration_s: float
    error: ErrorRow | None
    transition: str | None = field(default=None, metadata=OMITTED)


@dataclass(frozen=True, slots=True)
class Transition:
    """How the tests went from RED to GREEN.

    `f2p` counts the declared tests that pass now, `p2p` those that passed then and now, protected ones included.
    `lost` passed or ran then and do not now; `notes` name changes that leave the code of the tests as it was.
    """

    f2p: int
    declared: int
    still_failing: int
    p2p: int
    lost: tuple[str, ...]
    new_skips: tuple[str, ...]
    added: tuple[str, ...]
    test_changed: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The number of processes of the selector itself, and the tests that ended differently in them."""

    n: int
    flaky: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The verdict of a run and everything that the record says about its tests.

    `reads` are the files that its tests opened and that are neither product nor tests; None where nobody looked.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    proof: str | None
    declared: tuple[str, ...]
    tests: tuple[TestRow, ...]
    guards: dict[str, Outcomes]
    transition: Transition | None
    repeat: Repeat | None
    reads: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name."""
        return {name: getattr(self, name) for name in Conclusion.__slots__}


@dataclass(frozen=True, slots=True)
class RedSide:
    """What a GREEN must know of its RED.

    `seal` is the digest of its manifest, `folder` relative to the root, `declared` the ids that failed as declared with
    the class of each failure in `kinds`, `guards` the outcomes of the protected selectors' tests before the change,
    `identity` the version of the rules by which the identities were taken.
    """

    run_id: str
    seal: str
    folder: str
    outcomes: Outcomes
    declared: tuple[str, ...]
    kinds: dict[str, str]
    guards: dict[str, Outcomes]
    identities: dict[str, Identity]
    identity: int = VERSION
