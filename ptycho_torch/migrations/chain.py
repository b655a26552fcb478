"""Format: a version for what is written, and one migration for every older version."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ptycho_torch.errors import ConfigError, NewerFormatError

_log = logging.getLogger(__name__)

VERSION, WRITER = "version", "written_by"
_DISTRIBUTION = "ptycho-torch"
_LONGEST_SHOWN = 40

Values = dict[str, Any]
Migration = Callable[[Values], Values]
# files that were warned about: a command may read the same one several times
_told: set[tuple[str, str]] = set()


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        name: what messages call it.
        version: the version that is written.
        migrations: for each older version, the function that makes its values those of the next version.
        unmarked: the version of a file that states none.
    """

    name: str
    version: int
    migrations: Mapping[int, Migration] = field(default_factory=dict)
    unmarked: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError unless a migration leads from each older version to the next."""
        if sorted(self.migrations) != list(range(self.unmarked, self.version)):
            raise ValueError(f"{self.name}: migrations from {sorted(self.migrations)} do not lead to {self.version}")

    def mark(self) -> Values:
        """The entries of a file by which its version and what wrote it are known."""
        return {VERSION: self.version, WRITER: find_writer()}

    def upgrade(self, values: Mapping[str, Any], place: object) -> Values:
        """Make the values of a file those of the present version; an older one is warned about once.

        Args:
            values: its content, which is left unchanged.
            place: the file, for the warning.

        Raises:
            NewerFormatError: it was written in a newer version.
            ConfigError: it states none that is known.
        """
        found = self.check(values)
        current = dict(values)
        for step in range(found, self.version):
            current = self.migrations[step](current)
        if found < self.version and (str(place), self.name) not in _told:
            _told.add((str(place), self.name))
            _log.warning(
                "%s: is a %s of version %d, which is read as one of version %d, the present form",
                place,
                self.name,
                found,
                self.version,
            )
        return current | {VERSION: self.version}

    def check(self, values: Mapping[str, Any]) -> int:
        """Find the version of a file.

        Raises:
            NewerFormatError: it was written in a newer version.
            ConfigError: it states none that is known.
        """
        found = values.get(VERSION, self.unmarked)
        if type(found) is not int or found < self.unmarked:
            raise ConfigError(
                f"its version is {repr(found)[:_LONGEST_SHOWN]}; a {self.name} has a version from {self.unmarked} "
                f"to {self.version}"
            )
        if found > self.version:
            raise NewerFormatError(
                f"is a {self.name} of version {found}, written by {_describe_writer(values)}; {_DISTRIBUTION} "
                f"{find_writer()} reads versions up to {self.version}; install the one that wrote it, or a later one"
            )
        return found


def find_writer() -> str:
    """The version of this package; `unknown` if it is not installed."""
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


def is_newer_writer(values: Mapping[str, Any]) -> bool:
    """Whether a file says that another version of this package has written it than this one."""
    writer = values.get(WRITER)
    return isinstance(writer, str) and writer not in (find_writer(), "unknown")


def _describe_writer(values: Mapping[str, Any]) -> str:
    writer = values.get(WRITER)
    known = isinstance(writer, str) and writer.isprintable() and 0 < len(writer) <= _LONGEST_SHOWN
    return f"{_DISTRIBUTION} {writer}" if known else "an unknown version of this package"
