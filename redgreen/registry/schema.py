"""The JSON schema of the registry, made from the declarations of its fields, and an example of a registry."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable
from importlib import resources
from typing import Any, Final

from redgreen.codec import JsonObject
from redgreen.registry.fields import REQUIRED, Declaration, list_declared
from redgreen.registry.model import (
    NAME,
    Count,
    Defaults,
    Initiative,
    Selector,
    check_count,
    check_expression,
    check_filled,
    check_inside,
    check_log,
    check_plugins,
    check_selection,
)

__all__ = ["FRAGMENTS", "load_example", "make_schema", "render_schema"]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
NAMED: Final = "^" + NAME.pattern.removesuffix(r"\Z") + r"$(?!\n)"  # `$` alone also matches before a last line break
INSIDE: Final = r"^(?!/)(?!(.*/)?\.\.(/|$))[^\\]*$"
# what each check of a field asks for, in the words of JSON schema
FRAGMENTS: Final[dict[Callable[[Any], object], JsonObject]] = {
    check_count: {},  # that max is not below min cannot be said
    check_expression: {"format": "regex"},
    check_filled: {"minItems": 1},
    check_inside: {"pattern": INSIDE},
    check_log: {"pattern": r"^[A-Za-z0-9][A-Za-z0-9_.-]*\.log$"},
    check_plugins: {"items": {"type": "string", "not": {"enum": ["xdist", "xdist.plugin"]}}},
    check_selection: {"minItems": 1, "items": {"type": "string", "pattern": r"^(?!/)(?!([^:]*/)?\.\.(/|$|::))[^\\:]*"}},
}
PLAIN: Final[dict[object, JsonObject]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    dict[str, str]: {"type": ["object", "null"], "additionalProperties": {"type": "string"}},
}
# a live target declares its RED, a guard has none
RED_RULES: Final = (
    {
        "if": {
            "properties": {"role": {"const": "target"}, "state": {"const": "live"}},
            "required": ["role"],
        },
        "then": {"required": ["red"]},
    },
    {"if": {"properties": {"role": {"const": "guard"}}}, "then": {"not": {"required": ["red"]}}},
)


def make_schema() -> JsonObject:
    """Make the schema; what refers from one entry to another is left to `redgreen lint`."""
    selector = _describe(Selector) | {"allOf": list(RED_RULES)}
    names = {"pattern": NAMED}
    return {
        "$schema": DIALECT,
        "title": "Registry of redgreen",
        "type": "object",
        "required": ["schema", "selectors"],
        "additionalProperties": False,
        "properties": {
            "schema": {"const": 1},
            "ignored": _describe_type(tuple[str, ...]),
            "defaults": _describe(Defaults) | {"type": ["object", "null"]},
            "initiatives": {
                "type": "object",
                "propertyNames": names,
                "additionalProperties": _describe(Initiative) | {"type": ["object", "null"]},
            },
            "selectors": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": names,
                "additionalProperties": selector,
            },
        },
    }


def render_schema() -> str:
    """Write the schema as a file."""
    return json.dumps(make_schema(), indent=2) + "\n"


def load_example() -> str:
    """Return the text of the example of a registry."""
    return resources.files("redgreen.registry").joinpath("example.yaml").read_text(encoding="utf-8")


def _describe(kind: Any) -> JsonObject:  # noqa: ANN401 - a dataclass
    """Describe a dataclass of the registry; dotted keys become mappings of their own."""
    hints = typing.get_type_hints(kind)
    properties: dict[str, JsonObject] = {}
    required = []
    for name, declaration in list_declared(kind).items():
        group, _, key = (declaration.key or name).rpartition(".")
        described = _describe_field(hints[name], declaration)
        if group:
            place = properties.setdefault(group, _make_object({}))
            place["properties"][key] = described
        else:
            properties[key] = described
        if declaration.default is REQUIRED:
            required.append(key)
    return _make_object(properties, required)


def _make_object(properties: dict[str, JsonObject], required: list[str] | None = None) -> JsonObject:
    """Describe a mapping; one without required keys may be left empty, which YAML reads as null."""
    kind: JsonObject = {"type": "object", "required": required} if required else {"type": ["object", "null"]}
    return kind | {"additionalProperties": False, "properties": properties}


def _describe_field(hint: Any, declaration: Declaration) -> JsonObject:  # noqa: ANN401 - a type
    described = _describe_type(hint)
    extra: JsonObject = dict(FRAGMENTS[declaration.check]) if declaration.check else {}
    if declaration.least is not None:
        extra["minimum"] = declaration.least
    if declaration.among and hint is str:
        extra["enum"] = list(declaration.among)
    elif declaration.among:
        extra["items"] = {"enum": list(declaration.among)}
    if "anyOf" not in described:
        return described | extra
    one, many = described["anyOf"]
    single = extra.get("items", {}) if many.get("type") == "array" else {}
    return {"anyOf": [one | single, many | extra]}


def _describe_type(hint: Any) -> JsonObject:  # noqa: ANN401 - a type
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint in PLAIN:
        return dict(PLAIN[hint])
    if origin is types.UnionType:
        return _describe_type(next(part for part in parts if part is not types.NoneType))
    if origin is tuple and parts[0] is str:  # a string stands for a list of one
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    if origin is tuple:
        return {"type": "array", "items": _describe(parts[0])}
    if hint is Count:  # a number stands for exactly so many
        return {"anyOf": [{"type": "integer", "minimum": 1}, _describe(hint)]}
    return _describe(hint)
