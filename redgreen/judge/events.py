"""One pytest process of a run, and what the collector and junit wrote about it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from redgreen.codec import from_json

PROTECTS: Final = "protects "  # label of a process that ran what the selector protects
IMPORT_FAMILY: Final = ("ImportError", "ModuleNotFoundError", "AttributeError", "NameError", "UnboundLocalError")


@dataclass(frozen=True, slots=True)
class Failure:
    """The exception of a test: its type, message, the place that raised it, and what hides behind it.

    `origin` is the file of the repository whose statement failed, also where it is hidden or called a library.
    """

    type: str
    module: str
    bases: tuple[str, ...]
    message: str
    file: str
    line: int
    inside: bool
    hidden: tuple[str, ...]
    origin: str = ""

    @property
    def kind(self) -> str:
        """Class of the failure: assertion, stub, missing_symbol or exception."""
        family = {self.type, *self.bases}
        if family & {"AssertionError", "Failed"}:
            return "assertion"
        if "NotImplementedError" in family:
            return "stub"
        if family & set(IMPORT_FAMILY):
            return "missing_symbol"
        return "exception"

    def is_named(self, name: str) -> bool:
        """Return whether the exception is of the declared type, given bare or with its module."""
        return name in (self.type, f"{self.module}.{self.type}")


@dataclass(slots=True)
class TestRecord:
    """One test: its outcome (passed, failed, skipped, xfailed, xpassed, error) and the phase that decided it.

    `contradiction` says how the reported outcome differs from the observed one; `timeout` whether pytest-timeout ended
    the test; `subtests` whether a subtest failed; `strict` whether it passed against a strict xfail mark.
    """

    id: str
    outcome: str = ""
    phase: str = "call"
    duration_s: float = 0.0
    failure: Failure | None = None
    contradiction: str = ""
    timeout: bool = False
    subtests: bool = False
    strict: bool = False


@dataclass(slots=True)
class Evidence:
    """Everything known about one pytest process, before any judgement.

    `reads` are files of the repository, modules left out, that its tests opened; None where that was not recorded.
    """

    rc: int
    timed_out: bool = False
    interrupted: str = ""
    started: bool = False
    finish_rc: int | None = None
    conftest_error: str = ""
    internal_error: str = ""
    interrupt: str = ""
    malformed: int = 0
    collect_errors: list[str] = field(default_factory=list)
    collect_skips: list[str] = field(default_factory=list)
    collected: list[str] = field(default_factory=list)
    deselected: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    reads: list[str] | None = None
    tests: dict[str, TestRecord] = field(default_factory=dict)
    junit: list[tuple[str, str, str]] | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """One pytest process as it is recorded.

    `label` says what it was for: `main`, `repeat 2`, … or `protects NAME`. The other files share the stem of `log`.
    `interrupted` names the signal that ended the run; `junit` counts the cases in the junit file, if there is one.
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
    """A process, and what was recorded about it."""

    process: Process
    evidence: Evidence


def read_attempt(read: Callable[[str], bytes | None], process: Process) -> Attempt:
    """Read the records of a process with `read` (bytes by file name), and take the numbers of tests from them."""
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


def read_evidence(events: str, junit: str | None, *, rc: int, timed_out: bool, interrupted: str) -> Evidence:
    """Combine the two records of one process: the collector's events, and junit if there is a file."""
    evidence = Evidence(rc, timed_out, interrupted)
    for line in events.splitlines():
        try:
            event = json.loads(line)
            _take(evidence, event)
        except (ValueError, KeyError, TypeError, AttributeError):
            evidence.malformed += 1
    if events and not events.endswith("\n"):
        evidence.malformed += 1
    if junit is not None:
        evidence.junit = _read_junit(junit)
    return evidence


def _take(evidence: Evidence, event: dict[str, Any]) -> None:
    match event["e"]:
        case "start":
            evidence.started = True
        case "conftest_error":
            evidence.conftest_error = f"{event['type']}: {event['message']}"
        case "internal_error":
            evidence.internal_error = f"{event['type']}: {event['message']}"
        case "interrupt":
            evidence.interrupt = event["type"]
        case "collect_error":
            evidence.collect_errors.append(event["id"])
        case "collect_skip":
            evidence.collect_skips.append(event["id"])
        case "collected":
            evidence.collected = list(event["ids"])
            evidence.deselected = list(event["deselected"])
            evidence.dropped = list(event["dropped"])
        case "test":
            _take_test(evidence, event)
        case "finish":
            evidence.finish_rc = int(event["rc"])
            evidence.reads = list(event["reads"]) if "reads" in event else None
            evidence.outside = [name for name, where in event["origins"].items() if where == "outside"]
        case unknown:
            raise ValueError(unknown)


def _take_test(evidence: Evidence, event: dict[str, Any]) -> None:
    record = evidence.tests.setdefault(event["id"], TestRecord(event["id"]))
    outcome, contradiction = _find_outcome(event)
    if event.get("subtests") and outcome == "passed":  # pytest fails the run, and not always the test
        outcome = "failed"
    record.contradiction = record.contradiction or contradiction
    record.subtests = record.subtests or bool(event.get("subtests"))
    record.strict = record.strict or bool(event.get("xpass_strict"))
    raw = event.get("raw")
    if event["when"] == "call":
        record.duration_s = float(event["s"])
    if record.outcome and outcome == "passed":
        return
    if record.outcome == "failed" and outcome == "error":
        # The call failed first; a teardown that breaks as well makes the test an error, but its exception stays.
        record.outcome, record.phase = "error", event["when"]
        return
    record.outcome, record.phase = outcome, event["when"]
    if raw is None and event.get("subtest"):
        record.failure = _read_failure(event["subtest"])
    if raw is not None and raw["kind"] == "exception":
        record.failure = _read_failure(raw)
        record.timeout = raw["type"] == "Failed" and raw["message"].startswith("Timeout (>")


def _read_failure(raw: dict[str, Any]) -> Failure:
    return from_json(Failure, {key: value for key, value in raw.items() if key != "kind"})


def _find_outcome(event: dict[str, Any]) -> tuple[str, str]:
    """Return the outcome of a phase, and how it contradicts what was seen."""
    if event.get("xpass_strict"):
        return "xpassed", ""
    if event.get("xfail"):
        return ("xpassed" if event["outcome"] == "passed" else "xfailed"), ""
    outcome = "error" if event["outcome"] == "failed" and event["when"] != "call" else event["outcome"]
    return outcome, _find_contradiction(event)


def _find_contradiction(event: dict[str, Any]) -> str:
    """Describe how a reported outcome contradicts what was seen; empty when it does not."""
    reported, when = event["outcome"], event["when"]
    raw: dict[str, Any] = event.get("raw") or {"kind": "nothing", "type": "nothing"}
    body: dict[str, Any] = event.get("body") or {"entered": True, "raised": None, "replaced": False}
    expected = {"exception": "failed", "skip": "skipped", "nothing": "passed"}.get(raw["kind"], reported)
    if event.get("subtests") and raw["kind"] == "nothing":
        return ""  # pytest itself fails a test whose subtests failed
    if reported != expected:
        return f"raised {raw['type']} in {when}, reported as {reported}"
    if body["replaced"]:
        return "its body was exchanged after collection"
    if reported == "passed" and not body["entered"]:
        return "its body never ran, reported as passed"
    if reported == "passed" and body["raised"]:
        return f"its body raised {body['raised']}, reported as passed"
    return ""


def _read_junit(text: str) -> list[tuple[str, str, str]] | None:
    """Read class name, name and outcome of each test case; None when the file is not whole."""
    try:
        root = ET.fromstring(text)
    except ET.ParseError:
        return None
    cases = []
    for case in root.iter("testcase"):
        tags = {child.tag for child in case}
        outcome = "passed"
        for tag, name in (("skipped", "skipped"), ("failure", "failed"), ("error", "error")):
            if tag in tags:
                outcome = name
        cases.append((case.get("classname", ""), case.get("name", ""), outcome))
    return cases


def make_junit_key(nodeid: str) -> tuple[str, str]:
    """Return the class name and name that pytest gives a test in junit."""
    path, bracket, params = nodeid.partition("[")
    names = path.split("::")
    names[0] = names[0].replace("/", ".").removesuffix(".py")
    return ".".join(names[:-1]), names[-1] + bracket + params
