"""What can go wrong around a run, each kind with the exit code that the command line ends with.

    RedgreenError                 30   something unforeseen
    ├── RegistryError             20   the registry, or the way redgreen was called
    ├── VerifyError               21   sealed evidence does not hold
    ├── LedgerError               22   the ledger differs from the folders, or cannot be read
    ├── SecretError               23   a secret or a machine path where it cannot be redacted
    ├── PlannedError              24   the selector belongs to later work
    ├── DocsError                 25   a generated document differs from the registry
    ├── PairError                 26   no RED that this GREEN could answer
    ├── ClockError                27   the clock lies behind the newest report
    ├── ReportError               28   a report folder cannot be written
    └── RepositoryError           29   git cannot say which code was tested

How a *run* ended is not an error: see `redgreen.codes.Verdict`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ClockError",
    "DocsError",
    "LedgerError",
    "PairError",
    "PlannedError",
    "Problem",
    "RedgreenError",
    "RegistryError",
    "ReportError",
    "RepositoryError",
    "SecretError",
    "VerifyError",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding in one file.

    Attributes:
        file: Path relative to the repository root.
        line: Line number from 1; 0 where no line can be named.
        message: What is wrong, and what would be right.
    """

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.message}"


class RedgreenError(Exception):
    """Base of everything that redgreen raises on purpose."""

    code = 30
    label = "INTERNAL_ERROR"


class RegistryError(RedgreenError):
    """The registry is missing or wrong, or a command was called wrongly."""

    code = 20
    label = "REGISTRY_ERROR"

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems

    @classmethod
    def from_problems(cls, problems: list[Problem]) -> RegistryError:
        """Name the first problem and say how many follow it."""
        more = f" (and {len(problems) - 1} more; see `redgreen lint`)" if len(problems) > 1 else ""
        return cls(f"{problems[0]}{more}", tuple(problems))


class VerifyError(RedgreenError):
    """Sealed evidence was changed, or does not support its verdict."""

    code = 21
    label = "VERIFY_FAILED"


class LedgerError(RedgreenError):
    """The ledger differs from the sealed folders, or its blocks are broken."""

    code = 22
    label = "LEDGER_DRIFT"


class SecretError(RedgreenError):
    """A secret or a machine path stands where it cannot be redacted."""

    code = 23
    label = "SECRET_FOUND"


class PlannedError(RedgreenError):
    """The selector is planned: its tests come with later work."""

    code = 24
    label = "PLANNED"


class DocsError(RedgreenError):
    """A generated document differs from what the registry says."""

    code = 25
    label = "DOCS_DRIFT"


class PairError(RedgreenError):
    """There is no RED that a GREEN run could answer."""

    code = 26
    label = "NO_RED"


class ClockError(RedgreenError):
    """The clock lies behind the newest report of the initiative."""

    code = 27
    label = "CLOCK_BACK"


class ReportError(RedgreenError):
    """A report folder cannot be reserved, written or sealed."""

    code = 28
    label = "REPORT_ERROR"


class RepositoryError(RedgreenError):
    """Git cannot say which code is being tested."""

    code = 29
    label = "REPOSITORY_ERROR"
