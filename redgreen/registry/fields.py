"""Typed reading of one mapping: every wrong value becomes a problem with its line, none stops the reading."""

from __future__ import annotations

import difflib
import re
from typing import Any, Final

from redgreen.errors import Problem
from redgreen.registry.yamlfile import LineDict

__all__ = ["Fields", "nearest"]

_MISSING: Final = object()


def nearest(name: str, known: list[str]) -> str:
    """A hint that names the closest known names, or an empty text."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    return f"; did you mean {', '.join(close)}?" if close else ""


class Fields:
    """Reads the keys of one mapping and remembers which were asked for."""

    def __init__(self, mapping: object, where: str, file: str, problems: list[Problem], line: int = 0) -> None:
        self.where = where
        self.file = file
        self.problems = problems
        self.asked: set[str] = set()
        if isinstance(mapping, LineDict):
            self.mapping = mapping
        else:
            self.mapping = LineDict(line)
            if mapping is not None:
                self.problem("", f"{where}: expected a mapping, found {type(mapping).__name__}")

    def problem(self, key: str, message: str) -> None:
        """Note a problem at the line of a key."""
        self.problems.append(Problem(self.file, self.mapping.line_of(key), message))

    def has(self, key: str) -> bool:
        """Whether the key is written down."""
        return key in self.mapping

    def _get(self, key: str, default: object) -> Any:  # noqa: ANN401 - YAML values
        self.asked.add(key)
        value = self.mapping.get(key, _MISSING)
        if value is _MISSING:
            if default is _MISSING:
                self.problem(key, f"{self.where}: the key '{key}' is missing")
                return None
            return default
        return value

    def _wrong(self, key: str, expected: str, value: object) -> None:
        self.problem(key, f"{self.where}.{key}: expected {expected}, found {value!r}")

    def text(self, key: str, default: object = _MISSING, *, among: tuple[str, ...] = ()) -> str:
        """A text, optionally one of a few."""
        value = self._get(key, default)
        if value is None:
            return ""
        if not isinstance(value, str):
            self._wrong(key, "text", value)
            return ""
        if among and value not in among:
            self._wrong(key, f"one of {', '.join(among)}", value)
            return among[0]
        return value

    def texts(
        self, key: str, default: tuple[str, ...] | object = (), *, among: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        """A list of texts; a single text stands for a list of one."""
        value = self._get(key, default)
        if value is None:
            return ()
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            self._wrong(key, "a list of texts", value)
            return ()
        for item in value:
            if among and item not in among:
                self._wrong(key, f"values among {', '.join(among)}", item)
        return tuple(value)

    def required_texts(self, key: str) -> tuple[str, ...]:
        """A list of texts that must be there and must not be empty."""
        value = self.texts(key, _MISSING)
        if self.has(key) and not value:
            self.problem(key, f"{self.where}.{key}: the list is empty")
        return value

    def number(self, key: str, default: float, *, least: float = 0) -> float:
        """A number not below `least`."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
            self._wrong(key, f"a number from {least:g} on", value)
            return default
        return float(value)

    def whole(self, key: str, default: int, *, least: int = 0) -> int:
        """A whole number not below `least`."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self._wrong(key, f"a whole number from {least} on", value)
            return default
        return value

    def pairs(self, key: str) -> dict[str, str]:
        """A mapping from name to text."""
        value = self._get(key, {})
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            self._wrong(key, 'a mapping of names to texts (quote numbers, write "" for empty)', value)
            return {}
        return dict(value)

    def regex(self, key: str, default: object = _MISSING) -> str:
        """A regular expression that compiles."""
        value = self.text(key, default)
        try:
            re.compile(value)
        except re.error as error:
            self.problem(key, f"{self.where}.{key}: not a regular expression: {error}")
            return ""
        return value

    def child(self, key: str) -> Fields:
        """The mapping below a key, or an empty one."""
        return Fields(self._get(key, None), f"{self.where}.{key}", self.file, self.problems, self.mapping.line_of(key))

    def children(self, key: str) -> list[Fields]:
        """The list of mappings below a key."""
        value = self._get(key, [])
        if not isinstance(value, list):
            self._wrong(key, "a list", value)
            return []
        line = self.mapping.line_of(key)
        return [
            Fields(item if item is not None else "", f"{self.where}.{key}[{index}]", self.file, self.problems, line)
            for index, item in enumerate(value)
        ]

    def named(self, key: str) -> dict[str, Fields]:
        """The mapping of names to mappings below a key."""
        below = self.child(key)
        below.asked.update(below.mapping)
        for name, value in below.mapping.items():
            if isinstance(value, LineDict):
                value.line = below.mapping.line_of(name)  # an entry begins with its name
        return {
            name: Fields(value, f"{key}.{name}", self.file, self.problems, below.mapping.line_of(name))
            for name, value in below.mapping.items()
        }

    def done(self) -> None:
        """Report every key that nobody asked for."""
        for key in self.mapping:
            if key not in self.asked:
                self.problem(key, f"{self.where}: unknown key '{key}'{nearest(key, sorted(self.asked))}")
