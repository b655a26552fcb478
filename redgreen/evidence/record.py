"""The record of a run: run.json (the intent, written first), result.json and SEAL.json, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from redgreen.codec import OMITTED, JsonObject, from_json, parse_object
from redgreen.codes import Mode, Verdict
from redgreen.evidence.artifacts import Artifact
from redgreen.gitrepo import Revision
from redgreen.judge.conclusion import Conclusion, Repeat, TestRow, Transition
from redgreen.judge.events import Process
from redgreen.registry.model import Selector

SCHEMA: Final = 1
INTENT: Final = "run.json"
RESULT: Final = "result.json"
SEAL: Final = "SEAL.json"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RegistryFile:
    """The registry that was read."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Intent:
    """What a run set out to do.

    `folder` is `<UTC>/<subdir>`, `entry` the selector as it was declared, `answers` the run id of the RED that a GREEN
    answers, `git` the code under test (None for a scratch run). What has a default is missing when the run died before
    it had written an intent: `started` (ISO format), the command line of the first process, the exact ids where they
    were known, the entries of the protected selectors, and the names of those that are planned.
    """

    schema: int
    run_id: str
    folder: str
    initiative: str
    selector: str
    mode: Mode
    entry: JsonObject
    entry_sha256: str
    answers: str | None
    git: Revision | None
    started: str = ""
    scratch: bool = False
    command: tuple[str, ...] = ()
    registry: RegistryFile | None = None
    expected: tuple[str, ...] | None = None
    guards: tuple[JsonObject, ...] = ()
    guards_planned: tuple[str, ...] = ()

    def load_selector(self) -> Selector:
        """Return the selector as it was declared.

        Raises:
            ValueError: The entry is not that of a selector.
        """
        return from_json(Selector, self.entry)

    def load_guards(self) -> dict[str, Selector]:
        """Return the protected selectors by name.

        Raises:
            ValueError: An entry is not that of a selector.
        """
        return {selector.name: selector for selector in (from_json(Selector, entry) for entry in self.guards)}


@dataclass(frozen=True, slots=True)
class Pair:
    """The RED that a GREEN answers: its run, its folder below the root, and the digest of its manifest."""

    run_id: str
    folder: str
    seal: str


@dataclass(frozen=True, slots=True)
class PytestFacts:
    """How the first process ended."""

    rc: int
    finished: bool
    collected: int


@dataclass(frozen=True, slots=True)
class Times:
    """When the run began and ended, in whole seconds; how long it took; whether the clock was left alone."""

    start: str
    end: str
    wall_s: float
    pytest_s: float
    budget_s: float
    monotonic: bool


@dataclass(frozen=True, slots=True)
class Result:
    """What a run showed; the attributes of `Conclusion` have the same names here.

    A run that was abandoned has no digests, no facts of pytest and no repeats. `identity` is the version of the rules
    by which the tests were identified (None: the first), `summary_format` that of summary.md.
    """

    schema: int
    run_id: str
    initiative: str
    phase: str
    selector: str
    mode: Mode
    verdict: Verdict
    exit_code: int
    reasons: tuple[str, ...]
    proof: str | None
    pairs_with: Pair | None
    git: Revision | None
    runs: tuple[Process, ...]
    declared: tuple[str, ...]
    tests: tuple[TestRow, ...]
    guards: dict[str, dict[str, str]]
    transition: Transition | None
    time: Times
    redactions: int
    artifacts: tuple[Artifact, ...]
    registry_sha256: str | None = field(default=None, metadata=OMITTED)
    entry_sha256: str | None = field(default=None, metadata=OMITTED)
    pytest: PytestFacts | None = field(default=None, metadata=OMITTED)
    repeat: Repeat | None = field(default=None, metadata=OMITTED)
    env_sha256: str | None = field(default=None, metadata=OMITTED)
    reads: tuple[str, ...] | None = field(default=None, metadata=OMITTED)
    identity: int | None = field(default=None, metadata=OMITTED)
    summary_format: int | None = field(default=None, metadata=OMITTED)

    def compare(self, done: Conclusion) -> list[str]:
        """Return the names of the values that a conclusion from the same evidence gives differently."""
        return [name for name, value in done.to_dict().items() if value != getattr(self, name)]


@dataclass(frozen=True, slots=True)
class Seal:
    """SEAL.json: the digest of the manifest, and which run it seals."""

    schema: int
    run_id: str
    verdict: Verdict
    files: int
    manifest_sha256: str


def read_record(kind: type[T], data: bytes | str | None, name: str) -> T:
    """Read one file of the record: `Intent`, `Result` or `Seal`; `data` is None where the file is missing.

    Raises:
        ValueError: It is missing, not JSON, of another schema, or does not hold what it must.
    """
    if data is None:
        raise ValueError(f"{name} is missing or not readable")
    value: dict[str, Any] = parse_object(data, name)
    if value.get("schema") != SCHEMA:
        raise ValueError(f"{name} has schema {value.get('schema')!r}, this redgreen reads {SCHEMA}")
    try:
        return from_json(kind, value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
