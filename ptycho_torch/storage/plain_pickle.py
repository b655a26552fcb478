"""Plain values as pickles, for programs that read nothing else; no pickle is ever executed here."""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Mapping, Sequence
from typing import Any

_PROTOCOL = 2
_MOST_VALUES = 10_000
_DEEPEST = 8
_LARGEST_INT = 2**63
_LARGEST_BYTES = 2**20
# values of the instructions without an argument
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_FRAME = ("PROTO", "EMPTY_DICT", "MARK", "SETITEM", "SETITEMS", "STOP")


def dump_mapping(values: Mapping[str, Any]) -> bytes:
    """Pickle a mapping of plain values; equal mappings give equal bytes.

    Raises:
        ValueError: a name is not a string, or a value is not plain.
    """
    _check_mapping(values)
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, protocol=_PROTOCOL)
    # without the memo the bytes depend on the values alone, not on whether two of them are the same object
    pickler.fast = True
    pickler.dump(dict(sorted(values.items())))
    return stream.getvalue()


def recover_mapping(content: bytes) -> dict[str, Any]:
    """Recover the mapping of single values that `dump_mapping` turns into these bytes.

    The values are extracted without executing the pickle, and accepted only if they are pickled to the same bytes.

    Raises:
        ValueError: the bytes are not a pickle of such a mapping.
    """
    if len(content) > _LARGEST_BYTES:
        raise ValueError(f"it is larger than {_LARGEST_BYTES // 2**20} MiB")
    parts: list[Any] = [
        _CONSTANTS.get(instruction.name, argument)
        for instruction, argument, _ in pickletools.genops(content)
        if instruction.name not in _FRAME
    ]
    if len(parts) % 2 or not all(type(name) is str for name in parts[::2]):
        raise ValueError("its values have no names")
    values: dict[str, Any] = dict(zip(parts[::2], parts[1::2], strict=True))
    if dump_mapping(values) != content:
        raise ValueError("it contains more than single values with a name each")
    return values


def _check_mapping(values: Mapping[Any, Any]) -> None:
    """Check names and values without recursion, and limit their number and depth."""
    _check_names(values)
    waiting: list[tuple[str, Any, int]] = [(name, value, 0) for name, value in values.items()]
    seen = 0
    while waiting:
        name, value, depth = waiting.pop()
        seen += 1
        inside: Sequence[Any] = ()
        if type(value) in (list, tuple):
            inside = value
        elif type(value) is dict:
            _check_names(value)
            inside = list(value.values())
        elif not _is_plain(value):
            raise ValueError(f"{name[:60]!r} is a {type(value).__name__}; it must be a plain, finite value")
        if depth > _DEEPEST or seen + len(waiting) + len(inside) > _MOST_VALUES:
            raise ValueError(f"{name[:60]!r} contains too many values")
        waiting += [(name, part, depth + 1) for part in inside]


def _check_names(values: Mapping[Any, Any]) -> None:
    for name in values:
        if type(name) is not str:
            # Python does not write integers of thousands of digits
            text = ascii(name) if _is_plain(name) else f"of type {type(name).__name__}"
            raise ValueError(f"the name {text} must be a string")


def _is_plain(value: object) -> bool:
    if type(value) is int:
        return -_LARGEST_INT <= value < _LARGEST_INT
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) in (bool, str)
