"""Where a project keeps what redgreen reads and writes: `[tool.redgreen]` of pyproject.toml, or redgreen.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any, Final

from redgreen.errors import RegistryError
from redgreen.registry.fields import IncompleteError, Reader, declare
from redgreen.registry.model import check_inside
from redgreen.registry.yamlfile import LineDict

__all__ = ["CONFIGURATION", "STATE", "Layout", "declares_layout", "parse_layout", "read_layout"]

CONFIGURATION: Final = "redgreen.toml"
STATE: Final = ".redgreen"  # ignored folder for locks and scratch runs
PLAIN: Final = re.compile(r"[A-Za-z0-9_.-][A-Za-z0-9_./-]*\Z")  # goes into patterns of git and into links as it is


def check_path(value: str) -> None:
    """Refuse a path that leads out of the project, into redgreen's own folder, or that has unusual characters."""
    check_inside(value)
    if not PLAIN.match(value) or str(PurePosixPath(value)) != value or value == ".":
        raise ValueError(f"'{value}' must be a plain path of letters, digits, '.', '_', '-' and '/'")
    if PurePosixPath(value).parts[0] in (STATE, ".git"):
        raise ValueError(f"'{value}' must not lie in {PurePosixPath(value).parts[0]}")


def check_registry(value: str) -> None:
    """Refuse a path that is not that of a YAML file."""
    check_path(value)
    if not value.endswith((".yaml", ".yml")):
        raise ValueError(f"'{value}' must end in .yaml")


def check_document(value: str) -> None:
    """Refuse a path that is not that of a Markdown file."""
    check_path(value)
    if not value.endswith(".md"):
        raise ValueError(f"'{value}' must end in .md")


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below the root of a project, with forward slashes.

    `plans` holds `<INITIATIVE>/reports`; `index` and `selector_map` are documents that `redgreen docs` writes, empty
    where none is wanted.
    """

    registry: str = field(default="plans/registry.yaml", metadata=declare("plans/registry.yaml", check=check_registry))
    plans: str = field(default="plans/active", metadata=declare("plans/active", check=check_path))
    ledger: str = field(default="docs/fix_plan.md", metadata=declare("docs/fix_plan.md", check=check_document))
    index: str = field(default="", metadata=declare("", key="documents.index", check=check_document))
    selector_map: str = field(default="", metadata=declare("", key="documents.map", check=check_document))

    @property
    def lock(self) -> str:
        """File of the frozen test ids, beside the registry."""
        return str(PurePosixPath(self.registry).with_suffix(".lock.json"))

    @property
    def evidence(self) -> tuple[str, str]:
        """Git patterns, below the root, of the reports and the ledger: they are no part of the code under test."""
        return f"(glob){self.plans}/*/reports/**", f"(glob){self.ledger}"


def declares_layout(root: Path) -> bool:
    """Return whether a folder says where its files are.

    Raises:
        RegistryError: Its configuration cannot be read.
    """
    return bool(_find_table(_reader(root))[1])


def read_layout(root: Path) -> Layout:
    """Read the layout of the project in a folder; what is not said is as in `Layout`.

    Raises:
        RegistryError: A key is unknown, or a path is wrong.
    """
    return parse_layout(_reader(root))


def parse_layout(read: Callable[[str], bytes | None]) -> Layout:
    """Parse the layout from the files of a project, which `read` gives by name; None where there is no such file.

    Raises:
        RegistryError: A key is unknown, or a path is wrong.
    """
    name, table = _find_table(read)
    if not table:
        return Layout()
    reader = Reader(name)
    with suppress(IncompleteError):
        layout = reader.read(Layout, _add_lines(table), "tool.redgreen" if name == "pyproject.toml" else "redgreen")
        if not reader.problems:
            _check_distinct(name, layout)
            return layout
    raise RegistryError.from_problems(reader.problems)


def _reader(root: Path) -> Callable[[str], bytes | None]:
    def read(name: str) -> bytes | None:
        try:
            return (root / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RegistryError(f"{name}: cannot be read: {error.strerror}") from None

    return read


def _find_table(read: Callable[[str], bytes | None]) -> tuple[str, dict[str, Any]]:
    """Find the table of settings and the name of its file."""
    own = _parse(CONFIGURATION, read)
    tool = _parse("pyproject.toml", read).get("tool", {})
    shared = tool.get("redgreen", {}) if isinstance(tool, dict) else {}
    if own and shared:
        raise RegistryError(f"{CONFIGURATION} and [tool.redgreen] of pyproject.toml: keep one of the two")
    name, table = (CONFIGURATION, own) if own else ("pyproject.toml", shared)
    if not isinstance(table, dict):
        raise RegistryError(f"{name}: tool.redgreen: expected a table, found {table!r:.60}")
    return name, table


def _parse(name: str, read: Callable[[str], bytes | None]) -> dict[str, Any]:
    try:
        return tomllib.loads((read(name) or b"").decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{name}: cannot be read: {str(error).splitlines()[0]}") from None


def _add_lines(table: dict[str, Any]) -> LineDict:
    """Make of a table what the reader takes; TOML is read without lines."""
    inner = {key: _add_lines(value) if isinstance(value, dict) else value for key, value in table.items()}
    return LineDict(0, **inner)


def _check_distinct(name: str, layout: Layout) -> None:
    """Refuse a file that would be written over, or lie among the reports."""
    taken: dict[str, str] = {}
    for one in fields(Layout):
        path = getattr(layout, one.name)
        if path.casefold() in taken:
            raise RegistryError(f"{name}: {one.name} and {taken[path.casefold()]} are both '{path}'")
        if path:
            taken[path.casefold()] = one.name
    for key in ("registry", "ledger", "index", "selector_map"):
        inner = PurePosixPath(getattr(layout, key))
        if inner.is_relative_to(layout.plans) and "reports" in inner.relative_to(layout.plans).parts:
            raise RegistryError(f"{name}: {key}: '{inner}' lies among the reports, which only redgreen writes")
