"""The policy of a project: whose attestations count, and which GREENs need one; a file `redgreen-policy.toml`."""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, TypeVar

from redgreen.codec import from_json
from redgreen.codes import ProofVerdict
from redgreen.errors import RegistryError
from redgreen.evidence.attestation import parse_time
from redgreen.evidence.builder import Builder
from redgreen.evidence.signature import take_fingerprint

__all__ = ["POLICY", "Identity", "Policy", "Requirement", "Signer", "read_policy"]

POLICY: Final = "redgreen-policy.toml"
MOST_POLICY: Final = 1_000_000  # bytes
PRINCIPAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+@/:-]*\Z")  # stands in a file of ssh-keygen as it is
PUBLIC_KEY: Final = re.compile(r"(?!\S*-cert-)(?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/]+=*(?: [ -~]*)?\Z")
TIME: Final = re.compile(r"\d{4}-\d\d-\d\d")
COMMIT: Final = re.compile(r"[0-9a-f]{7,64}\Z")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Identity:
    """The job that may sign with a key: globs of repository and workflow, as the builder of an attestation says."""

    repository: str = "*"
    workflow: str = "*"

    def matches(self, builder: Builder | None) -> bool:
        """Return whether a builder is such a job."""
        if builder is None or builder.repository is None or builder.workflow is None:
            return False
        return fnmatchcase(builder.repository, self.repository) and fnmatchcase(builder.workflow, self.workflow)


@dataclass(frozen=True, slots=True)
class Signer:
    """Who may sign with a public key, from a time on and until before another; times in ISO format, empty for any."""

    principal: str
    key: str
    begin: str = field(default="", metadata={"key": "from"})
    until: str = ""
    identity: Identity | None = None

    @property
    def keyid(self) -> str:
        """Fingerprint of the key."""
        return take_fingerprint(self.key)

    def is_allowed_at(self, when: datetime.datetime) -> bool:
        """Return whether the signer may sign at a time."""
        begun = not self.begin or parse_time(self.begin) <= when
        return begun and (not self.until or when < parse_time(self.until))


@dataclass(frozen=True, slots=True)
class Requirement:
    """Which GREENs need attestations, and which do.

    `since` is a time, from which on, or a commit, after which a GREEN was recorded; empty for every GREEN.
    `initiatives` are globs; `signatures` is the number of different signers.
    """

    since: str = ""
    verdicts: tuple[ProofVerdict, ...] = (ProofVerdict.PROVEN,)
    initiatives: tuple[str, ...] = ("*",)
    signatures: int = 1

    @property
    def since_time(self) -> datetime.datetime | None:
        """The time from which on attestations are needed; None where it is not a time."""
        return parse_time(self.since) if TIME.match(self.since) else None

    @property
    def since_commit(self) -> str:
        """The commit after which they are; empty where it is not a commit."""
        return self.since if COMMIT.match(self.since) else ""


@dataclass(frozen=True, slots=True)
class Policy:
    """Whose attestations count, and which GREENs need them."""

    signers: tuple[Signer, ...]
    require: Requirement = field(default_factory=Requirement)


def read_policy(file: Path) -> Policy:
    """Read a policy.

    Raises:
        RegistryError: There is no such file, a key is missing or unknown, or a value is wrong.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(MOST_POLICY + 1)
        if len(data) > MOST_POLICY:
            raise ValueError(f"it has more than {MOST_POLICY:,} bytes")
        return _parse(_spell_times(tomllib.loads(data.decode("utf-8"))))
    except FileNotFoundError:
        raise RegistryError(f"{file.name}: there is no such policy; the README shows one (Attestation)") from None
    except OSError as error:
        raise RegistryError(f"{file.name}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{file.name}: {str(error).splitlines()[0]}") from None


def _spell_times(value: Any) -> Any:  # noqa: ANN401 - whatever TOML can hold
    """Write dates and times, which TOML knows as such, as text."""
    if isinstance(value, dict):
        return {key: _spell_times(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_spell_times(inner) for inner in value]
    return value.isoformat() if isinstance(value, datetime.date) else value


def _parse(table: dict[str, Any]) -> Policy:
    if unknown := table.keys() - {"signers", "require"}:
        raise ValueError(f"the key '{min(unknown)}' is unknown; it takes [[signers]] and [require]")
    entries = table.get("signers")
    if not isinstance(entries, list) or not entries:
        raise ValueError("signers: there must be at least one, as [[signers]] with principal and key")
    signers = []
    for number, entry in enumerate(entries, 1):
        signers.append(_read(f"signers {number}", Signer, entry, _check_signer))
        if signers[-1].keyid in [one.keyid for one in signers[:-1]]:
            raise ValueError(f"signers {number}: key: it stands there twice")
    require = _read("require", Requirement, table.get("require", {}), _check_requirement)
    people = len({signer.principal for signer in signers})
    if not 1 <= require.signatures <= people:
        raise ValueError(f"require: signatures: it must be 1 to {people}, the number of signers")
    return Policy(tuple(signers), require)


def _read(place: str, kind: type[T], value: object, check: Callable[[T], None]) -> T:
    try:
        found = from_json(kind, value)
        check(found)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    return found


def _check_signer(signer: Signer) -> None:
    if not PRINCIPAL.match(signer.principal):
        raise ValueError(f"principal: {signer.principal!r:.60} must be a plain name, such as ci@example.org")
    if not PUBLIC_KEY.match(signer.key):
        raise ValueError("key: it must be a public ssh key, as in the .pub file: TYPE BASE64")
    try:
        take_fingerprint(signer.key)
    except ValueError:
        raise ValueError("key: it is no whole public ssh key") from None
    for name, text in (("from", signer.begin), ("until", signer.until)):
        if text:
            _check_time(name, text)
    if signer.begin and signer.until and parse_time(signer.begin) >= parse_time(signer.until):
        raise ValueError("until: it must be later than 'from'")


def _check_requirement(require: Requirement) -> None:
    if TIME.match(require.since):
        _check_time("since", require.since)
    elif require.since and not COMMIT.match(require.since):
        raise ValueError(f"since: {require.since!r:.60} must be a time in ISO format or the digits of a commit")
    for name in ("verdicts", "initiatives"):
        if not getattr(require, name):
            raise ValueError(f"{name}: there must be at least one")


def _check_time(name: str, text: str) -> None:
    try:
        if not TIME.match(text):
            raise ValueError(text)
        parse_time(text)
    except ValueError:
        raise ValueError(f"{name}: {text!r:.60} must be a date or time in ISO format, such as 2030-01-31") from None
