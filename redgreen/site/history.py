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
    results = [entry.run.result for entry in entries]
    repeated = [result for result in results if result.repeat is not None and result.repeat.n > 1]
    groups: dict[tuple[str, str, str | None], set[Verdict]] = {}
    sizes: dict[tuple[str, str, str | None], int] = {}
    for result in results:
        if result.git is not None and result.verdict not in (Verdict.ABANDONED, Verdict.INTERRUPTED):
            key = (result.git.tree, str(result.mode), result.entry_sha256)
            groups.setdefault(key, set()).add(result.verdict)
            sizes[key] = sizes.get(key, 0) + 1
    compared = [groups[key] for key, size in sizes.items() if size > 1]
    return Steadiness(
        attempts=len(results),
        valid=sum(result.verdict.is_valid for result in results),
        repeated=len(repeated),
        flaky=sum(result.verdict is Verdict.FLAKY for result in repeated),
        compared=len(compared),
        split=sum(len(verdicts) > 1 for verdicts in compared),
    )
