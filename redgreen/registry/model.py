"""What the registry says, as frozen values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from redgreen.codec import JsonObject, digest, to_json
from redgreen.codes import Mode

ACCEPTABLE: Final = ("assertion", "exception", "stub", "missing_symbol")
PLACES: Final = ("tests", "product", "third_party")


@dataclass(frozen=True, slots=True)
class Rule:
    """One declared reason: these tests (a glob) fail with this exception, a message that matches, at this place."""

    tests: str
    type: str
    match: str
    raised_in: str

    def __post_init__(self) -> None:
        try:
            re.compile(self.match)
        except re.error as error:
            raise ValueError(f"'{self.match}' is not a regular expression: {error}") from None


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
        """Return whether that many tests are expected."""
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

    def name_log(self, mode: Mode) -> str:
        """Return the file name of the log of a run in that mode."""
        return {"red": self.log_red, "green": self.log_green, "guard": self.log_guard}[mode.name]

    def count_repeats(self, mode: Mode) -> int:
        """Return how many fresh processes a run in that mode takes."""
        return {"red": self.repeat_red, "green": self.repeat_green}.get(mode.name, 1)

    def digest_promise(self) -> str:
        """Digest what a RED promises: the tests, the reasons and what must stay whole, not names or budgets."""
        entry: JsonObject = to_json(self)
        keys = ("select", "k", "m", "red", "protects", "product", "test_support", "pytest_args", "plugins", "env")
        return digest({key: entry[key] for key in keys})


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
    """The whole selector map, in the order of the file.

    `file` is its path for messages, `sha256` its digest; `frozen` holds the exact test ids that `lint --freeze` wrote,
    `ignored` the globs of test files that need no entry.
    """

    file: str
    sha256: str
    initiatives: dict[str, Initiative]
    selectors: dict[str, Selector]
    frozen: dict[str, tuple[str, ...]]
    ignored: tuple[str, ...]

    def of(self, initiative: str) -> list[Selector]:
        """Return the selectors of one initiative in the order of the file."""
        return [selector for selector in self.selectors.values() if selector.initiative == initiative]
