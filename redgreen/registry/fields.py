"""Read mappings of a YAML file into dataclasses: what is wrong is noted with its line, and the reading goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from redgreen.codec import from_json
from redgreen.errors import Problem
from redgreen.registry.yamlfile import LineDict

REQUIRED: Final = object()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Declaration:
    """How the registry gives a field: by default from the key of its name, with any value of its type.

    `key` is another key (`repeat.red` is a key of the mapping `repeat`). `least` bounds a number, `among` a string or
    the strings of a list; `check` raises a ValueError for a value that is wrong all the same; `hint` ends the message.
    """

    default: object
    key: str = ""
    least: float | None = None
    among: tuple[str, ...] = ()
    check: Callable[[Any], object] | None = None
    hint: str = ""

    def verify(self, value: Any) -> None:  # noqa: ANN401 - of the type of the field
        """Check a value of the right type.

        Raises:
            ValueError: It is wrong.
        """
        if self.least is not None and not value >= self.least:  # NaN is not either
            raise ValueError(f"expected a number from {self.least:g} on, found {value!r}")
        items = value if isinstance(value, tuple) else (value,)
        if self.among and (odd := [item for item in items if item not in self.among]):
            raise ValueError(f"expected one of {', '.join(self.among)}, found {odd[0]!r}")
        if self.check is not None:
            self.check(value)


def declare(default: object = REQUIRED, **options: Any) -> dict[str, Declaration]:  # noqa: ANN401 - see Declaration
    """Make the metadata of a dataclass field that the registry gives, with the options of a `Declaration`."""
    return {"declaration": Declaration(default, **options)}


def suggest(name: str, known: Iterable[str]) -> str:
    """Suggest the closest known names; an empty string if there are none."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    return f"; did you mean {', '.join(close)}?" if close else ""


def list_declared(kind: Any) -> dict[str, Declaration]:  # noqa: ANN401 - a dataclass
    """List the fields of a dataclass that the registry gives."""
    given = [field for field in dataclasses.fields(kind) if "declaration" in field.metadata]
    return {field.name: field.metadata["declaration"] for field in given}


class IncompleteError(Exception):
    """A mapping lacks a value, or holds a wrong one; the problem is noted."""


class Reader:
    """Reads the mappings of one file and collects what is wrong with them."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def note(self, line: int, message: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(self.file, line, message))

    def read_mapping(self, value: object, where: str, line: int) -> LineDict:
        """Take a value as a mapping; null, like anything else, gives an empty one."""
        if isinstance(value, LineDict):
            return value
        if value is not None:
            self.note(line, f"{where}: expected a mapping, found {type(value).__name__}")
        return LineDict(line)

    def read_child(self, mapping: LineDict, key: str, where: str) -> LineDict:
        """Read the mapping below a key, or an empty one."""
        return self.read_mapping(mapping.get(key), where, mapping.find_line(key))

    def read(
        self,
        kind: type[T],
        mapping: LineDict,
        where: str,
        defaults: Mapping[str, object] | None = None,
        **given: object,
    ) -> T:
        """Read a dataclass; `defaults` go before those declared, `given` are the fields that no key gives.

        Raises:
            IncompleteError: A value is missing or wrong.
        """
        declared = list_declared(kind)
        keys = {name: declaration.key or name for name, declaration in declared.items()}
        flat = self._flatten(mapping, where, {key.partition(".")[0] for key in keys.values() if "." in key})
        for key in flat.keys() - {*keys.values()}:
            self.note(flat.find_line(key), f"{where}: unknown key '{key}'{suggest(key, sorted(keys.values()))}")
        hints, values = typing.get_type_hints(kind), dict(given)
        for name, declaration in declared.items():
            key, default = keys[name], (defaults or {}).get(name, declaration.default)
            try:
                values[name] = self._read_key(flat, key, f"{where}.{key}", hints[name], default)
                if key in flat:
                    declaration.verify(values[name])
            except IncompleteError:
                pass
            except ValueError as error:
                values.pop(name, None)
                self.note(flat.find_line(key), f"{where}.{key}: {error}{declaration.hint}")
        if declared.keys() - values.keys():
            raise IncompleteError
        return kind(**values)

    def _flatten(self, mapping: LineDict, where: str, groups: set[str]) -> LineDict:
        """Put the entries of the groups, with dotted keys, beside the other keys."""
        flat = LineDict(mapping.line)
        for key, value in mapping.items():
            if key in groups:
                group = self.read_child(mapping, key, f"{where}.{key}")
                for name, inner in group.items():
                    flat.add(f"{key}.{name}", inner, group.find_line(name))
            elif "." in key:  # it would be taken for an entry of a group
                self.note(mapping.find_line(key), f"{where}: unknown key '{key}'")
            else:
                flat.add(key, value, mapping.find_line(key))
        return flat

    def _read_key(self, mapping: LineDict, key: str, where: str, hint: Any, default: object) -> object:  # noqa: ANN401
        if key not in mapping:
            if default is REQUIRED:
                raise ValueError(f"the key '{key}' is missing")
            return default
        value, line = mapping[key], mapping.find_line(key)
        parts = (hint, *typing.get_args(hint))
        inner: Any = next((part for part in parts if dataclasses.is_dataclass(part)), None)
        if inner is None:
            if value is None and types.NoneType in parts:
                raise ValueError("expected a value, found null")
            one = isinstance(value, str) and hint == tuple[str, ...]  # a string stands for a list of one
            return from_json(hint, [value] if one else value)
        if typing.get_origin(hint) is not tuple:
            return self.read(inner, self.read_mapping(value, where, line), where)
        if not isinstance(value, list):
            raise ValueError(f"expected a list, found {value!r}")
        return self._read_items(inner, value, where, line)

    def _read_items(self, kind: type[T], items: list[object], where: str, line: int) -> tuple[T, ...]:
        values = []
        for index, item in enumerate(items):
            place = f"{where}[{index}]"
            with contextlib.suppress(IncompleteError):
                values.append(self.read(kind, self.read_mapping(item, place, line), place))
        if len(values) < len(items):
            raise IncompleteError
        return tuple(values)
