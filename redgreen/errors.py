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
        line: Line number from 1; 0 if no line can be named.
        message: What is wrong, and what would be right.
    """

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.message}"


class RedgreenError(Exception):
    """Base of everything that redgreen raises on purpose; a subclass is declared with its exit code and label."""

    code, label = 30, "INTERNAL_ERROR"

    def __init_subclass__(cls, *, code: int, label: str) -> None:
        cls.code, cls.label = code, label


class RegistryError(RedgreenError, code=20, label="REGISTRY_ERROR"):
    """The registry is missing or wrong, or a command was called wrongly."""

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems

    @classmethod
    def from_problems(cls, problems: list[Problem]) -> RegistryError:
        """Name the first problem and say how many follow it."""
        more = f" (and {len(problems) - 1} more; see `redgreen lint`)" if len(problems) > 1 else ""
        return cls(f"{problems[0]}{more}", tuple(problems))


class VerifyError(RedgreenError, code=21, label="VERIFY_FAILED"):
    """Sealed evidence was changed, or does not support its verdict."""


class LedgerError(RedgreenError, code=22, label="LEDGER_DRIFT"):
    """The ledger differs from the sealed folders, or its blocks are broken."""


class SecretError(RedgreenError, code=23, label="SECRET_FOUND"):
    """A secret or a machine path is in a file that must not be altered."""


class PlannedError(RedgreenError, code=24, label="PLANNED"):
    """The selector is planned: its tests come with later work."""


class DocsError(RedgreenError, code=25, label="DOCS_DRIFT"):
    """A generated document differs from what the registry says."""


class PairError(RedgreenError, code=26, label="NO_RED"):
    """There is no RED that a GREEN run could answer."""


class ClockError(RedgreenError, code=27, label="CLOCK_BACK"):
    """The clock is behind the newest report of the initiative."""


class ReportError(RedgreenError, code=28, label="REPORT_ERROR"):
    """A report folder cannot be reserved, written or sealed."""


class RepositoryError(RedgreenError, code=29, label="REPOSITORY_ERROR"):
    """Git cannot say which code is being tested."""
