"""What a replay of a recorded pair showed: replay.json in the folder of a GREEN, and a line of replays.jsonl."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from redgreen.codec import OMITTED
from redgreen.codes import ProofVerdict

REPLAY: Final = "replay.json"
CHANGE: Final = "change.patch"
LATER: Final = "replays.jsonl"


@dataclass(frozen=True, slots=True)
class CellRow:
    """One cell of the 2 × 2: whose product and tests, how many processes, the outcomes by number, why none ran."""

    name: str
    processes: int
    outcomes: dict[str, int]
    problem: str


@dataclass(frozen=True, slots=True)
class HunkRow:
    """One hunk of the product's change: `state` is witnessed, unwitnessed, or why it was not tried."""

    file: str
    line: int
    state: str


@dataclass(frozen=True, slots=True)
class ReplayRecord:
    """The verdict of a replay, and what it stands on.

    `run_id` is the GREEN and `red` its RED, `base` and `head` the trees of the two; `reasons` are one line each,
    the decisive one first; `fixed` are the tests that fail without the product's change for the declared reason;
    `held` counts what passed before and after; `product` and `others` are the changed files. `when` is in ISO format.
    """

    schema: int
    run_id: str
    red: str
    base: str
    head: str
    verdict: ProofVerdict
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    fixed: tuple[str, ...]
    held: int
    product: tuple[str, ...]
    others: tuple[str, ...]
    cells: tuple[CellRow, ...]
    hunks: tuple[HunkRow, ...]
    repeat: int
    processes: int
    wall_s: float
    when: str
    seal: str | None = field(default=None, metadata=OMITTED)

    @property
    def unwitnessed(self) -> tuple[HunkRow, ...]:
        """The hunks that no test notices."""
        return tuple(hunk for hunk in self.hunks if hunk.state == "unwitnessed")
