"""One pytest process of a run, with the evidence of its witnesses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from redgreen.judge.events import Evidence, read_evidence

PROTECTS = "protects "


@dataclass(frozen=True, slots=True)
class Process:
    """One pytest process as the record tells it.

    `label` says what it was for: `main`, `repeat 2`, … or `protects NAME`. The other files share the stem of `log`.
    `interrupted` names the signal that ended the run; `junit` counts the cases in the junit file, where there is one.
    """

    label: str
    selector: str
    log: str
    rc: int
    timed_out: bool
    interrupted: str
    wall_s: float
    collected: int = 0
    deselected: int = 0
    reported: int = 0
    junit: int | None = None

    @property
    def protects(self) -> bool:
        """Whether it ran what the selector protects, and not the selector itself."""
        return self.label.startswith(PROTECTS)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A process, and what its witnesses saw."""

    process: Process
    evidence: Evidence


def read_attempt(read: Callable[[str], bytes | None], process: Process) -> Attempt:
    """Read the witnesses of a process with `read` (bytes by file name), and take the numbers of tests from them."""
    stem = process.log.removesuffix(".log")
    events, junit = read(f"{stem}.events.jsonl"), read(f"{stem}.junit.xml")
    evidence = read_evidence(
        (events or b"").decode("utf-8", "replace"),
        None if junit is None else junit.decode("utf-8", "replace"),
        rc=process.rc,
        timed_out=process.timed_out,
        interrupted=process.interrupted,
    )
    counted = replace(
        process,
        collected=len(evidence.collected),
        deselected=len(evidence.deselected),
        reported=len(evidence.tests),
        junit=None if evidence.junit is None else len(evidence.junit),
    )
    return Attempt(counted, evidence)
