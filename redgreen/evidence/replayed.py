"""What a replay of a recorded pair showed: replay.json in the folder of a GREEN, and a line of replays.jsonl."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from redgreen.codec import OMITTED, from_json, parse_object
from redgreen.codes import ProofVerdict, Verdict
from redgreen.evidence.scrub import Scrubber
from redgreen.registry.model import Selector

REPLAY: Final = "replay.json"
CHANGE: Final = "change.patch"
LATER: Final = "replays.jsonl"
MOST_CHANGE: Final = 400_000  # characters; a longer change is asked of git


def name_cell(product: str, tests: str) -> str:
    """Name a cell by whose product and whose tests it runs: RED or GREEN."""
    if product == tests:
        return f"product and tests of the {product}"
    return f"product of the {product}, tests of the {tests}"


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


def read_replay(data: bytes) -> ReplayRecord:
    """Read replay.json.

    Raises:
        ValueError: It holds something else.
    """
    try:
        return from_json(ReplayRecord, parse_object(data, REPLAY))
    except ValueError as error:
        raise ValueError(f"{REPLAY}: {error}") from None


def find_exit_code(verdict: Verdict, replayed: ReplayRecord | None, selector: Selector) -> int:
    """Return the exit code of a run: that of its replay, where there was one.

    A pair whose entry accepts a stub promises no more than a characterisation.
    """
    if replayed is None:
        return verdict.exit_code
    promised = selector.red is not None and "stub" in selector.red.accept
    return 0 if promised and replayed.verdict is ProofVerdict.CHARACTERISATION else replayed.verdict.exit_code


def keep_change(patch: bytes, scrubber: Scrubber) -> tuple[str, tuple[str, ...]]:
    """Return the change as it can be kept as evidence, and a note where it cannot: git has it in any case."""
    text = patch.decode("utf-8", "replace")
    if len(text) > MOST_CHANGE:
        return "", (f"{CHANGE} is left out: it has {len(text):,} characters; ask git for the two trees",)
    found = scrubber.find(text)
    if found:
        return "", (f"{CHANGE} is left out: its line {found[0][0]} holds {found[0][1]}; ask git for the two trees",)
    return text, ()
