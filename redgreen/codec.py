"""Frozen dataclasses to and from JSON: the one place that does either.

A field that does not compare (`compare=False`) is not written; `omitted()` declares one that is written only when it
has a value; `named(key)` declares one whose key is a Python keyword.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import types
import typing
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, TypeVar

OMITTED: Final = {"omit": True}
WORDS: Final = {str: "a string", int: "an integer", float: "a number", bool: "true or false", dict: "an object"}
T = TypeVar("T")
JsonObject = dict[str, Any]
Reader = Callable[[Any], Any]


def digest(value: object) -> str:
    """SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(json.dumps(to_json(value), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def to_text(value: object) -> str:
    """A value as an indented JSON document."""
    return json.dumps(to_json(value), indent=1, ensure_ascii=False) + "\n"


def to_line(value: object) -> str:
    """A value as one line of JSON."""
    return json.dumps(to_json(value), ensure_ascii=False, separators=(",", ":")) + "\n"


def parse_object(data: bytes | str, name: str) -> JsonObject:
    """Parse a JSON document whose top level is an object.

    Raises:
        ValueError: It is not JSON, or something else; the message begins with `name`.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError(f"{name} is not JSON") from None
    if not isinstance(value, dict):
        raise ValueError(f"{name} does not hold an object")
    return value


def to_json(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """Turn dataclasses, tuples and enumerations, at any depth, into what `json.dumps` takes."""
    if isinstance(value, dict):
        return {key: to_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(inner) for inner in value]
    if not dataclasses.is_dataclass(value):
        return value
    return {
        key: to_json(inner)
        for name, key, omit, _ in _members(type(value))  # type: ignore[arg-type]  # an instance, not a class
        if (inner := getattr(value, name)) is not None or not omit
    }


def from_json(kind: type[T], value: object) -> T:
    """Build a value of the given type from parsed JSON.

    Raises:
        ValueError: A key is missing or unknown, or a value is of another type; the message begins with its place.
    """
    result: T = _reader(kind)(value)  # type: ignore[arg-type]  # a type is hashable
    return result


@functools.cache
def _members(kind: type) -> tuple[tuple[str, str, bool, bool], ...]:
    """Name, key, whether None is left out, and whether it is required, of each field that is written."""
    return tuple(
        (
            field.name,
            field.metadata.get("key", field.name),
            field.metadata.get("omit", False),
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(kind)
        if field.compare
    )


@functools.cache
def _reader(kind: Any) -> Reader:  # noqa: ANN401 - classes and generic aliases
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return lambda value: value
    if origin is types.UnionType:
        inner = _reader(next(part for part in parts if part is not types.NoneType))
        return lambda value: None if value is None else inner(value)
    if origin in (tuple, dict):
        return _read_many(origin, _reader(parts[0 if origin is tuple else 1]))
    if dataclasses.is_dataclass(kind):
        return _read_fields(kind)  # type: ignore[arg-type]  # not an instance
    return _read_one(kind)


def _read_many(origin: type, item: Reader) -> Reader:
    def read(value: Any) -> Any:  # noqa: ANN401 - parsed JSON
        if origin is dict and isinstance(value, dict):
            return {key: item(inner) for key, inner in value.items()}
        if origin is tuple and isinstance(value, list):
            return tuple([item(inner) for inner in value])
        raise ValueError(f"expected {'an object' if origin is dict else 'a list'}, found {value!r:.60}")

    return read


def _read_one(kind: Any) -> Reader:  # noqa: ANN401 - a class that can be called with a value
    accepted = (float, int) if kind is float else (kind,)

    def read(value: Any) -> Any:  # noqa: ANN401 - parsed JSON
        if issubclass(kind, Enum):
            return kind(value)
        if type(value) not in accepted:
            raise ValueError(f"expected {WORDS.get(kind, kind.__name__)}, found {value!r:.60}")
        return kind(value)

    return read


def _read_fields(kind: type) -> Reader:
    hints = typing.get_type_hints(kind)
    members = [(name, key, required, _reader(hints[name])) for name, key, _, required in _members(kind)]
    known = {key for _, key, _, _ in members}

    def read(value: Any) -> Any:  # noqa: ANN401 - parsed JSON
        if not isinstance(value, dict):
            raise ValueError(f"expected an object, found {value!r:.60}")
        if unknown := value.keys() - known:
            raise ValueError(f"the key '{min(unknown)}' is unknown")
        values = {}
        for name, key, required, inner in members:
            if key in value:
                try:
                    values[name] = inner(value[key])
                except ValueError as error:
                    raise ValueError(f"{key}: {error}") from None
            elif required:
                raise ValueError(f"the key '{key}' is missing")
        return kind(**values)

    return read
