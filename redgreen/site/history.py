"""The history of one selector: its attempts in the order of time, and how steady they were."""

from __future__ import annotations

from dataclasses import dataclass

from redgreen.codes import Verdict
from redgreen.site.collect import Entry


@dataclass(frozen=True, slots=True)
class Steadiness:
    """What is known about how steady a selector is.

    `repeated` attempts ran in more than one process, of which `flaky` disagreed with themselves. `compared` groups of
    attempts ran the same code in the same mode, of which `split` ended differently.
    """

    attempts: int
    valid: int
    repeated: int
    flaky: int
    compared: int
    split: int


def measure_steadiness(entries: tuple[Entry, ...]) -> Steadiness:
    """Count what the attempts of a selector say about its steadiness."""
    rows = [entry.row for entry in entries]
    repeated = [row for row in rows if row.repeats > 1]
    groups: dict[tuple[str, ...], list[Verdict]] = {}
    for row in rows:
        if row.tree and row.verdict not in (Verdict.ABANDONED, Verdict.INTERRUPTED):
            groups.setdefault((row.tree, row.mode, row.declared), []).append(row.verdict)
    compared = [verdicts for verdicts in groups.values() if len(verdicts) > 1]
    return Steadiness(
        attempts=len(rows),
        valid=sum(row.verdict.is_valid for row in rows),
        repeated=len(repeated),
        flaky=sum(row.verdict is Verdict.FLAKY for row in repeated),
        compared=len(compared),
        split=sum(len({*verdicts}) > 1 for verdicts in compared),
    )
