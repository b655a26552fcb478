"""What can go wrong around a run, each kind with the exit code that the command line ends with.

How a *run* ended is not an error: see `redgreen.codes.Verdict`.
"""

from __future__ import annotations

from dataclasses import dataclass


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

    code, label = 30, "INTERNAL_ERROR"


class RegistryError(RedgreenError):
    """The registry is missing or wrong, or a command was called wrongly."""

    code, label = 20, "REGISTRY_ERROR"

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

    code, label = 21, "VERIFY_FAILED"


class LedgerError(RedgreenError):
    """The ledger differs from the sealed folders, or its blocks are broken."""

    code, label = 22, "LEDGER_DRIFT"


class SecretError(RedgreenError):
    """A secret or a machine path stands where it cannot be redacted."""

    code, label = 23, "SECRET_FOUND"


class PlannedError(RedgreenError):
    """The selector is planned: its tests come with later work."""

    code, label = 24, "PLANNED"


class DocsError(RedgreenError):
    """A generated document differs from what the registry says."""

    code, label = 25, "DOCS_DRIFT"


class PairError(RedgreenError):
    """There is no RED that a GREEN run could answer."""

    code, label = 26, "NO_RED"


class ClockError(RedgreenError):
    """The clock is behind the newest report of the initiative."""

    code, label = 27, "CLOCK_BACK"


class ReportError(RedgreenError):
    """A report folder cannot be reserved, written or sealed."""

    code, label = 28, "REPORT_ERROR"


class RepositoryError(RedgreenError):
    """Git cannot say which code is being tested."""

    code, label = 29, "REPOSITORY_ERROR"
