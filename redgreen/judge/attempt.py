"""One pytest process of a run, with the evidence of its witnesses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from redgreen.judge.events import Evidence, read_evidence

__all__ = ["Attempt", "read_attempt", "read_witnesses"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One pytest process of a run: what it was for, its files, and how it ended.

    Attributes:
        label: `main`, `repeat 2`, … or `protects NAME`.
        selector: Name of the selector that ran.
        log: File name of the log; the other files share its stem.
        rc: Return code.
        timed_out: Whether the budget ended it.
        interrupted: Signal that ended the run, or empty.
        wall_s: Seconds.
        evidence: What the witnesses saw.
    """

    label: str
    selector: str
    log: str
    rc: int
    timed_out: bool
    interrupted: str
    wall_s: float
    evidence: Evidence

    def facts(self) -> dict[str, Any]:
        """The process for result.json."""
        return {
            "label": self.label,
            "selector": self.selector,
            "log": self.log,
            "rc": self.rc,
            "timed_out": self.timed_out,
            "interrupted": self.interrupted,
            "wall_s": round(self.wall_s, 3),
            "collected": len(self.evidence.collected),
            "deselected": len(self.evidence.deselected),
            "reported": len(self.evidence.tests),
            "junit": None if self.evidence.junit is None else len(self.evidence.junit),
        }


def read_witnesses(read: Callable[[str], bytes | None], log: str, facts: Mapping[str, Any]) -> Evidence:
    """Read the witnesses of one process through a function that gives a file's bytes, or None where there is none."""
    stem = log.removesuffix(".log")
    events, junit = read(f"{stem}.events.jsonl"), read(f"{stem}.junit.xml")
    return read_evidence(
        (events or b"").decode("utf-8", "replace"),
        None if junit is None else junit.decode("utf-8", "replace"),
        rc=int(facts["rc"]),
        timed_out=bool(facts["timed_out"]),
        interrupted=str(facts["interrupted"]),
    )


def read_attempt(read: Callable[[str], bytes | None], facts: Mapping[str, Any]) -> Attempt:
    """Rebuild an attempt of a sealed folder from its files.

    Raises:
        KeyError, ValueError: The facts are not those of `Attempt.facts`.
    """
    return Attempt(
        facts["label"],
        facts["selector"],
        facts["log"],
        int(facts["rc"]),
        bool(facts["timed_out"]),
        str(facts["interrupted"]),
        float(facts["wall_s"]),
        read_witnesses(read, facts["log"], facts),
    )
