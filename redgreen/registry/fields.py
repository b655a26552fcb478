"""Typed reading of one mapping: every wrong value becomes a problem with its line, none stops the reading."""

from __future__ import annotations

import difflib
import re
from typing import Any, Final

from redgreen.errors import Problem
from redgreen.registry.yamlfile import LineDict

_MISSING: Final = object()


def suggest(name: str, known: list[str]) -> str:
    """Suggest the closest known names; an empty text when there is none."""
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
        self.problems.append(Problem(self.file, self.mapping.find_line(key), message))

    def has(self, key: str) -> bool:
        """Return whether the key is present."""
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

    def read_text(self, key: str, default: object = _MISSING, *, among: tuple[str, ...] = ()) -> str:
        """Read a text, optionally one of a few."""
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

    def read_texts(
        self, key: str, default: tuple[str, ...] | object = (), *, among: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        """Read a list of texts; a single text stands for a list of one."""
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

    def read_required(self, key: str) -> tuple[str, ...]:
        """Read a list of texts that must be there and must not be empty."""
        value = self.read_texts(key, _MISSING)
        if self.has(key) and not value:
            self.problem(key, f"{self.where}.{key}: the list is empty")
        return value

    def read_number(self, key: str, default: float, *, least: float = 0) -> float:
        """Read a number not below `least`."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
            self._wrong(key, f"a number from {least:g} on", value)
            return default
        return float(value)

    def read_whole(self, key: str, default: int, *, least: int = 0) -> int:
        """Read a whole number not below `least`."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self._wrong(key, f"a whole number from {least} on", value)
            return default
        return value

    def read_pairs(self, key: str) -> dict[str, str]:
        """Read a mapping from name to text."""
        value = self._get(key, {})
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            self._wrong(key, 'a mapping of names to texts (quote numbers, write "" for empty)', value)
            return {}
        return dict(value)

    def read_regex(self, key: str, default: object = _MISSING) -> str:
        """Read a regular expression, which must compile."""
        value = self.read_text(key, default)
        try:
            re.compile(value)
        except re.error as error:
            self.problem(key, f"{self.where}.{key}: not a regular expression: {error}")
            return ""
        return value

    def read_child(self, key: str) -> Fields:
        """Read the mapping below a key, or an empty one."""
        line = self.mapping.find_line(key)
        return Fields(self._get(key, None), f"{self.where}.{key}", self.file, self.problems, line)

    def read_children(self, key: str) -> list[Fields]:
        """Read the list of mappings below a key."""
        value = self._get(key, [])
        if not isinstance(value, list):
            self._wrong(key, "a list", value)
            return []
        line = self.mapping.find_line(key)
        return [
            Fields(item if item is not None else "", f"{self.where}.{key}[{index}]", self.file, self.problems, line)
            for index, item in enumerate(value)
        ]

    def read_named(self, key: str) -> dict[str, Fields]:
        """Read the mapping of names to mappings below a key."""
        below = self.read_child(key)
        below.asked.update(below.mapping)
        for name, value in below.mapping.items():
            if isinstance(value, LineDict):
                value.line = below.mapping.find_line(name)  # an entry begins with its name
        return {
            name: Fields(value, f"{key}.{name}", self.file, self.problems, below.mapping.find_line(name))
            for name, value in below.mapping.items()
        }

    def finish(self) -> None:
        """Report every key that was not read."""
        for key in self.mapping:
            if key not in self.asked:
                self.problem(key, f"{self.where}: unknown key '{key}'{suggest(key, sorted(self.asked))}")
