"""What the registry says, as frozen values."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Final

__all__ = ["ArtifactSpec", "Count", "Initiative", "RedSpec", "Registry", "Rule", "Selector", "digest"]

ACCEPTABLE: Final = ("assertion", "exception", "stub", "missing_symbol")
PLACES: Final = ("tests", "product", "third_party")


def digest(value: object) -> str:
    """SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Rule:
    """One declared reason: these tests fail with this exception, this message, at this place.

    Attributes:
        tests: Glob over test ids.
        type: Name of the exception, bare or with its module.
        match: Regular expression searched in the message.
        raised_in: `tests`, `product` or `third_party`.
    """

    tests: str
    type: str
    match: str
    raised_in: str


@dataclass(frozen=True, slots=True)
class RedSpec:
    """The declared RED: which classes of failure are accepted, and the reasons."""

    accept: tuple[str, ...]
    reasons: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Count:
    """How many tests a selector collects; `maximum` None means any number from `minimum` on."""

    minimum: int = 1
    maximum: int | None = None

    def allows(self, number: int) -> bool:
        """Whether that many tests are expected."""
        return number >= self.minimum and (self.maximum is None or number <= self.maximum)

    def __str__(self) -> str:
        if self.maximum is None:
            return f"at least {self.minimum}"
        return str(self.minimum) if self.minimum == self.maximum else f"{self.minimum} to {self.maximum}"


@dataclass(frozen=True, slots=True)
class ArtifactSpec:
    """Files that a GREEN run must leave: glob under the test's temporary folder, smallest size, smallest number."""

    glob: str
    min_bytes: int = 1
    min_count: int = 1


@dataclass(frozen=True, slots=True)
class Selector:
    """One named selection of tests with everything that a run of it needs."""

    name: str
    initiative: str
    phase: str
    category: str
    title: str
    select: tuple[str, ...]
    k: str
    m: str
    env: dict[str, str]
    pass_env: tuple[str, ...]
    pytest_args: tuple[str, ...]
    plugins: tuple[str, ...]
    budget_s: float
    repeat_red: int
    repeat_green: int
    max_skipped: int
    max_xfailed: int
    count: Count
    role: str
    state: str
    red: RedSpec | None
    protects: tuple[str, ...]
    product: tuple[str, ...]
    test_support: tuple[str, ...]
    artifacts: tuple[ArtifactSpec, ...]
    log_red: str
    log_green: str
    log_guard: str
    subdir: str
    tests_roots: tuple[str, ...]
    line: int = field(default=0, compare=False)

    @property
    def planned(self) -> bool:
        """Whether the tests come with later work, so that no run of it may count."""
        return self.state == "planned"

    def log_name(self, mode: str) -> str:
        """File name of the log of a run in that mode."""
        return {"red": self.log_red, "green": self.log_green, "guard": self.log_guard}[mode]

    def repeats(self, mode: str) -> int:
        """How many fresh processes a run in that mode takes."""
        return {"red": self.repeat_red, "green": self.repeat_green, "guard": 1}[mode]

    def entry(self) -> dict[str, Any]:
        """The entry as plain values for JSON; the line, which moves, is left out."""
        plain = asdict(self)
        del plain["line"]
        return json.loads(json.dumps(plain))  # tuples become lists, as when read back

    def promise(self) -> str:
        """Digest of what a RED promises: the tests, the reasons and what must stay whole, not names or budgets."""
        entry = self.entry()
        keys = ("select", "k", "m", "red", "protects", "product", "test_support", "pytest_args", "plugins", "env")
        return digest({key: entry[key] for key in keys})

    @classmethod
    def from_entry(cls, entry: dict[str, Any]) -> Selector:
        """Rebuild a selector from `entry`.

        Raises:
            TypeError, KeyError, ValueError: The entry does not come from `entry`.
        """
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
        }
        red = entry["red"]
        if red is not None:
            reasons = tuple(Rule(**rule) for rule in red["reasons"])
            values["red"] = RedSpec(tuple(red["accept"]), reasons)
            for rule in reasons:
                re.compile(rule.match)
        values["count"] = Count(**entry["count"])
        values["artifacts"] = tuple(ArtifactSpec(**spec) for spec in entry["artifacts"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Initiative:
    """A piece of work with its own plan file; `active_phase` is the one being worked on, empty when none is."""

    name: str
    title: str
    plan: str
    active_phase: str
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Registry:
    """The whole selector map.

    Attributes:
        file: Path relative to the repository root, for messages.
        sha256: Digest of the file's bytes.
        initiatives: By name.
        selectors: By name, in the order of the file.
        frozen: Exact test ids by selector, where `lint --freeze` wrote them.
        ignored: Globs of test files that need no entry.
    """

    file: str
    sha256: str
    initiatives: dict[str, Initiative]
    selectors: dict[str, Selector]
    frozen: dict[str, tuple[str, ...]]
    ignored: tuple[str, ...]

    def of(self, initiative: str) -> list[Selector]:
        """The selectors of one initiative in the order of the file."""
        return [selector for selector in self.selectors.values() if selector.initiative == initiative]
