"""YAML with the line of each key; a key written twice is refused."""

from __future__ import annotations

from typing import Any

import yaml

from redgreen.errors import Problem, RegistryError


class LineDict(dict[str, Any]):
    """A mapping with the line of itself and of each of its keys, counted from 1."""

    def __init__(self, line: int, **values: object) -> None:
        super().__init__(values)
        self.line = line
        self.lines: dict[str, int] = {}

    def add(self, key: str, value: object, line: int) -> None:
        """Add a key with its line, which is also where a mapping below it begins."""
        if isinstance(value, LineDict):
            value.line = line
        self[key] = value
        self.lines[key] = line

    def find_line(self, key: str) -> int:
        """Return the line of a key, or of the mapping when the key is missing."""
        return self.lines.get(key, self.line)


class LineLoader(yaml.SafeLoader):
    """Safe loader that builds `LineDict` and refuses duplicate keys."""


def _construct_mapping(loader: LineLoader, node: yaml.MappingNode) -> LineDict:
    seen: set[str] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} is not a string (quote it)", key_node.start_mark
            )
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{key}' is written twice", key_node.start_mark
            )
        seen.add(key)
    loader.flatten_mapping(node)
    mapping = LineDict(node.start_mark.line + 1)
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        mapping.add(key, loader.construct_object(value_node, deep=True), key_node.start_mark.line + 1)
    return mapping


LineLoader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)


def parse_yaml(data: bytes, shown: str) -> LineDict:
    """Parse a YAML document whose top level is a mapping; messages call it `shown`.

    Raises:
        RegistryError: It is empty, not text, not YAML, or not a mapping.
    """
    try:
        loaded = yaml.load(data.decode("utf-8"), Loader=LineLoader)
    except UnicodeDecodeError as error:
        raise RegistryError(f"{shown}: cannot be read as text ({type(error).__name__})") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise RegistryError.from_problems([Problem(shown, line, f"not valid YAML: {error.problem}")]) from None
    except yaml.YAMLError as error:
        raise RegistryError(f"{shown}: not valid YAML: {str(error).splitlines()[0]}") from None
    if loaded is None:
        raise RegistryError(f"{shown}: the file is empty")
    if not isinstance(loaded, LineDict):
        raise RegistryError(f"{shown}:1: expected a mapping at the top, found {type(loaded).__name__}")
    return loaded
