"""What the registry says, as frozen values."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from redgreen.codec import JsonObject, digest, to_json
from redgreen.codes import Mode
from redgreen.registry.fields import declare

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
PROMISED: Final = (
    *("select", "k", "m", "count", "max_skipped", "max_xfailed", "red", "protects", "product", "test_support"),
    *("pytest_args", "plugins", "env", "pass_env", "tests_roots", "artifacts", "may_skip"),
)
ACCEPTED_HIDDEN: Final = ("AttributeError", "NameError")  # what a product may catch as its normal way
PASS_ENV: Final = ("PATH", "HOME", "LANG", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def check_filled(value: tuple[object, ...]) -> None:
    """Refuse an empty list."""
    if not value:
        raise ValueError("the list is empty")


def check_expression(value: str) -> None:
    """Refuse what is not a regular expression."""
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"'{value}' is not a regular expression: {error}") from None


def check_inside(path: str) -> None:
    """Refuse a path that may lead out of the repository."""
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\\" in path:
        raise ValueError(f"'{path}' must be relative to the repository, without '..'")


def check_selection(value: tuple[str, ...]) -> None:
    """Refuse an empty list of files and tests, and paths that may lead out of the repository."""
    check_filled(value)
    for part in value:
        check_inside(part.partition("::")[0])


def check_plugins(value: tuple[str, ...]) -> None:
    """Refuse what runs the tests in several processes."""
    if {"xdist", "xdist.plugin"} & {*value}:
        raise ValueError("xdist distributes the tests, and no process records them all; remove it")


def check_log(value: str) -> None:
    """Refuse what is not the name of a log file."""
    if not NAME.match(value) or not value.endswith(".log"):
        raise ValueError("expected a plain file name that ends in .log")


@dataclass(frozen=True, slots=True)
class Rule:
    """One declared reason: these tests (a glob) fail with this exception, a message that matches, at this place."""

    tests: str = field(metadata=declare("*"))
    type: str = field(metadata=declare())
    match: str = field(metadata=declare(check=check_expression))
    raised_in: str = field(metadata=declare("tests", among=("tests", "product", "third_party")))

    def __post_init__(self) -> None:
        check_expression(self.match)


@dataclass(frozen=True, slots=True)
class RedSpec:
    """The declared RED: which classes of failure are accepted, and the reasons.

    `accept_hidden` names the errors that may stand behind the failure, as where a product catches one and goes on.
    """

    accept: tuple[str, ...] = field(
        metadata=declare(("assertion",), among=("assertion", "exception", "stub", "missing_symbol"))
    )
    reasons: tuple[Rule, ...] = field(
        metadata=declare(check=check_filled, hint=": at least one reason (type, match, raised_in) must be given")
    )
    accept_hidden: tuple[str, ...] = field(default=(), metadata=declare((), among=ACCEPTED_HIDDEN))


@dataclass(frozen=True, slots=True)
class Count:
    """How many tests a selector collects; `maximum` None means any number from `minimum` on."""

    minimum: int = field(default=1, metadata=declare(1, key="min", least=1))
    maximum: int | None = field(default=None, metadata=declare(None, key="max"))

    def allows(self, number: int) -> bool:
        """Return whether that many tests are expected."""
        return number >= self.minimum and (self.maximum is None or number <= self.maximum)

    def __str__(self) -> str:
        if self.maximum is None:
            return f"at least {self.minimum}"
        return str(self.minimum) if self.minimum == self.maximum else f"{self.minimum} to {self.maximum}"


def check_count(value: Count) -> None:
    """Refuse a maximum below the minimum."""
    if value.maximum is not None and value.maximum < value.minimum:
        raise ValueError(f"expected a max from {value.minimum} on, found {value.maximum}")


@dataclass(frozen=True, slots=True)
class ArtifactSpec:
    """Files that a GREEN run must leave: glob under the test's temporary folder, smallest size, smallest number."""

    glob: str = field(metadata=declare(check=check_inside))
    min_bytes: int = field(default=1, metadata=declare(1, least=0))
    min_count: int = field(default=1, metadata=declare(1, least=1))


@dataclass(frozen=True, slots=True)
class Defaults:
    """What `defaults` gives to every selector; a selector may set all but `tests_roots` for itself."""

    env: dict[str, str] = field(metadata=declare({}, hint=' (quote numbers, write "" for an empty string)'))
    pass_env: tuple[str, ...] = field(metadata=declare(PASS_ENV))
    pytest_args: tuple[str, ...] = field(metadata=declare(("-vv", "--tb=short")))
    plugins: tuple[str, ...] = field(metadata=declare((), check=check_plugins))
    budget_s: float = field(metadata=declare(60.0, least=0.1))
    repeat_red: int = field(metadata=declare(1, key="repeat.red", least=1))
    repeat_green: int = field(metadata=declare(1, key="repeat.green", least=1))
    max_skipped: int = field(metadata=declare(0, key="expect.skipped", least=0))
    max_xfailed: int = field(metadata=declare(0, key="expect.xfailed", least=0))
    tests_roots: tuple[str, ...] = field(metadata=declare(("tests",)))
    replay_repeat: int = field(default=3, kw_only=True, metadata=declare(3, key="replay.repeat", least=1))
    replay_budget_s: float = field(default=600.0, kw_only=True, metadata=declare(600.0, key="replay.budget_s", least=1))
    may_skip: tuple[str, ...] = field(default=(), kw_only=True, metadata=declare(()))


@dataclass(frozen=True, slots=True)
class Selector(Defaults):
    """One named selection of tests with everything that a run of it needs."""

    tests_roots: tuple[str, ...]
    name: str
    initiative: str = field(metadata=declare())
    phase: str = field(metadata=declare())
    category: str = field(metadata=declare())
    title: str = field(metadata=declare(""))
    select: tuple[str, ...] = field(metadata=declare(check=check_selection))
    k: str = field(metadata=declare(""))
    m: str = field(metadata=declare(""))
    count: Count = field(metadata=declare(Count(), check=check_count))
    role: str = field(metadata=declare("guard", among=("guard", "target")))
    state: str = field(metadata=declare("live", among=("live", "planned")))
    red: RedSpec | None = field(metadata=declare(None))
    protects: tuple[str, ...] = field(metadata=declare(()))
    product: tuple[str, ...] = field(metadata=declare(()))
    test_support: tuple[str, ...] = field(metadata=declare(()))
    artifacts: tuple[ArtifactSpec, ...] = field(metadata=declare(()))
    log_red: str = field(metadata=declare("", key="log.red", check=check_log))
    log_green: str = field(metadata=declare("", key="log.green", check=check_log))
    log_guard: str = field(metadata=declare("", key="log.guard", check=check_log))
    subdir: str = field(metadata=declare(""))
    line: int = field(default=0, compare=False)

    @property
    def planned(self) -> bool:
        """Whether the tests come with later work, so that no run of it may count."""
        return self.state == "planned"

    def name_log(self, mode: Mode) -> str:
        """Return the file name of the log of a run in that mode."""
        return {"red": self.log_red, "green": self.log_green, "guard": self.log_guard}[mode]

    def count_repeats(self, mode: Mode) -> int:
        """Return how many fresh processes a run in that mode takes."""
        return {"red": self.repeat_red, "green": self.repeat_green}.get(mode, 1)

    def digest_promise(self) -> str:
        """Digest what a RED promises: the tests, the reasons and what must stay whole, not names or budgets."""
        entry: JsonObject = to_json(self)
        return digest({key: entry[key] for key in PROMISED})


def names_everything(glob: str) -> bool:
    """Return whether a glob of the product tells nothing apart: it matches a file of any name in any folder."""
    return fnmatch.fnmatchcase("?/?.?", glob) or fnmatch.fnmatchcase("?/?/?", glob)


def covers(part: str, nodeid: str) -> bool:
    """Return whether a part of a selection (folder, file, class or test) holds the test."""
    return nodeid == part or nodeid.startswith((f"{part}::", f"{part}[", f"{part}/"))


@dataclass(frozen=True, slots=True)
class Initiative:
    """A piece of work, with a plan file where it has one; `active_phase` is the one being worked on, or empty."""

    name: str
    title: str = field(metadata=declare(""))
    plan: str = field(default="", metadata=declare("", check=check_inside))
    active_phase: str = field(default="", metadata=declare(""))
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
