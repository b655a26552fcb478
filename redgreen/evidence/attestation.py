"""Attestations: signed statements about what a replay showed, one line each in `attestations.jsonl`.

A statement has the form of in-toto's Statement 1, and lies in an envelope of the form of DSSE 1.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from redgreen.codec import OMITTED, from_json, parse_object, to_json, to_line
from redgreen.evidence import journal
from redgreen.evidence.builder import Builder
from redgreen.evidence.replayed import ReplayRecord
from redgreen.evidence.sealed import SealedRun
from redgreen.evidence.signature import Key, encode, sign
from redgreen.project import Project
from redgreen.version import find_version

ATTESTATIONS: Final = "attestations.jsonl"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://redgreen.invalid/replay/v1"  # a name that is reserved, so that nobody can own it
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
MOST_LOG: Final = 64_000_000  # bytes of one log
MOST_PAYLOAD: Final = 4_000_000  # characters of one payload, in base64
MOST_SIGNATURES: Final = 16
MOST_SIGNATURE: Final = 16_000  # characters, in base64


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that a statement is about, or stands on, by its digest."""

    name: str
    digest: dict[str, str]


@dataclass(frozen=True, slots=True)
class Predicate:
    """What a replay showed, who ran it (None where nobody vouches for it), by which redgreen, and on what."""

    replay: ReplayRecord
    redgreen: str
    dependencies: tuple[Resource, ...] = field(metadata={"key": "resolvedDependencies"})
    builder: Builder | None = field(default=None, metadata=OMITTED)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement about the report and the code of a GREEN."""

    kind: str = field(metadata={"key": "_type"})
    subject: tuple[Resource, ...]
    predicate_type: str = field(metadata={"key": "predicateType"})
    predicate: Predicate

    @property
    def when(self) -> datetime:
        """When the replay was made."""
        return parse_time(self.predicate.replay.when)


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature over type and payload in base64, and the fingerprint of its key, which nothing vouches for."""

    keyid: str
    sig: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload in base64, what it is, and its signatures; `seal` is that of the line."""

    payload: str
    payload_type: str = field(metadata={"key": "payloadType"})
    signatures: tuple[Signature, ...]
    seal: str | None = field(default=None, metadata=OMITTED)

    def encode(self) -> bytes:
        """Return what its signatures are over.

        Raises:
            ValueError: The payload is too long, or not in base64.
        """
        return encode(self.payload_type, self.decode())

    def decode(self) -> bytes:
        """Return its payload.

        Raises:
            ValueError: It is too long, or not in base64.
        """
        if len(self.payload) > MOST_PAYLOAD:
            raise ValueError(f"its payload has {len(self.payload):,} characters, more than {MOST_PAYLOAD:,}")
        try:
            return base64.b64decode(self.payload, validate=True)
        except ValueError:
            raise ValueError("its payload is not in base64") from None


@dataclass(frozen=True, slots=True)
class Attestation:
    """A line of the log, and the statement in it; that its signatures hold is not said by this."""

    envelope: Envelope
    statement: Statement


def parse_time(text: str) -> datetime:
    """Parse a date or time in ISO format; without a zone it is in UTC.

    Raises:
        ValueError: It is something else.
    """
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def describe(run: SealedRun, red: SealedRun, record: ReplayRecord, builder: Builder | None = None) -> Statement:
    """State what a replay of a GREEN showed.

    Subjects are the manifest of its report and the tree that was tested; it depends on both commits, on the tree of
    the RED and on the manifest of its report.
    """
    green_git, red_git = run.result.git, red.result.git
    dependencies = [Resource(red.run_id, {"sha256": red.seal.manifest_sha256})]
    subject = [Resource(run.run_id, {"sha256": run.seal.manifest_sha256})]
    if green_git is not None and red_git is not None:
        subject.append(Resource("GREEN", {"gitTree": green_git.tree}))
        dependencies += [
            Resource("RED", {"gitTree": red_git.tree}),
            Resource("RED", {"gitCommit": red_git.head}),
            Resource("GREEN", {"gitCommit": green_git.head}),
        ]
    predicate = Predicate(replace(record, seal=None), find_version(), tuple(dependencies), builder)
    return Statement(STATEMENT_TYPE, tuple(subject), PREDICATE_TYPE, predicate)


def seal_statement(statement: Statement, key: Key) -> Envelope:
    """Sign a statement.

    Raises:
        RegistryError: The key cannot sign.
        ReportError: `ssh-keygen` is not installed.
    """
    payload = to_line(statement).rstrip("\n").encode()
    signature = Signature(key.keyid, sign(key, encode(PAYLOAD_TYPE, payload)))
    return Envelope(base64.b64encode(payload).decode(), PAYLOAD_TYPE, (signature,))


def locate_attestations(project: Project, initiative: str) -> Path:
    """Return the file that holds the attestations of an initiative."""
    return project.base / initiative / "reports" / ATTESTATIONS


def append_attestation(project: Project, initiative: str, envelope: Envelope) -> None:
    """Append an attestation to the log of an initiative.

    Raises:
        ReportError: It cannot be written.
    """
    journal.append(project, locate_attestations(project, initiative), to_json(envelope))


def read_attestations(log: Path) -> list[Attestation]:
    """Read every attestation of a log; a missing one holds none.

    Raises:
        ValueError: The log is too large, or a line is not sealed, too long, or holds something else.
    """
    if log.is_file() and log.stat().st_size > MOST_LOG:
        raise ValueError(f"it has more than {MOST_LOG:,} bytes")
    found = []
    for number, line in enumerate(journal.read(log), 1):
        try:
            envelope = from_json(Envelope, line)
            found.append(Attestation(envelope, _read_statement(envelope)))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return found


def check_attestations(project: Project) -> list[str]:
    """Return what is wrong with the form of the attestations, one line each; their signatures are not looked at."""
    problems = []
    for log in sorted(project.base.glob(f"*/reports/{ATTESTATIONS}")):
        try:
            read_attestations(log)
        except ValueError as error:
            problems.append(f"{project.relativize(log)}: {error}")
    return problems


def _read_statement(envelope: Envelope) -> Statement:
    if envelope.payload_type != PAYLOAD_TYPE:
        raise ValueError(f"payloadType: it must be {PAYLOAD_TYPE}, not {envelope.payload_type!r:.60}")
    if not 0 < len(envelope.signatures) <= MOST_SIGNATURES:
        raise ValueError(f"signatures: there are {len(envelope.signatures)}, and must be 1 to {MOST_SIGNATURES}")
    if any(len(each.sig) > MOST_SIGNATURE for each in envelope.signatures):
        raise ValueError(f"signatures: one has more than {MOST_SIGNATURE:,} characters")
    statement = from_json(Statement, parse_object(envelope.decode(), "payload"))
    if (statement.kind, statement.predicate_type) != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise ValueError(f"payload: it is no statement of the type {PREDICATE_TYPE}")
    try:
        parse_time(statement.predicate.replay.when)
    except ValueError:
        raise ValueError("payload: predicate: replay: when: it is no time in ISO format") from None
    return statement
