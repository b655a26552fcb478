"""Plain values as standard pickles, for programs that read nothing else; none is ever carried out here."""

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
_LARGEST_GUESS_BYTES = 2**20
# what the instructions stand for that carry no value with them
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_FRAME = ("PROTO", "EMPTY_DICT", "MARK", "SETITEM", "SETITEMS", "STOP")


def dump_mapping(values: Mapping[str, Any]) -> bytes:
    """A table of plain values as a pickle; equal tables give equal bytes.

    Raises:
        ValueError: a name or a value is not plain.
    """
    _check_table(values)
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, protocol=_PROTOCOL)
    # without the memo the bytes depend on the values alone, not on which of them are one object in memory
    pickler.fast = True
    pickler.dump(dict(sorted(values.items())))
    return stream.getvalue()


def recover_mapping(content: bytes) -> dict[str, Any]:
    """The table of single values that `dump_mapping` turns into these bytes.

    The values are picked out of the pickle without carrying it out; whether they are right, their own bytes show.

    Raises:
        ValueError: there is no such table.
    """
    if len(content) > _LARGEST_GUESS_BYTES:
        raise ValueError(f"it is larger than {_LARGEST_GUESS_BYTES // 2**20} MiB")
    parts: list[Any] = [
        _CONSTANTS.get(instruction.name, argument)
        for instruction, argument, _ in pickletools.genops(content)
        if instruction.name not in _FRAME
    ]
    if len(parts) % 2 or not all(type(name) is str for name in parts[::2]):
        raise ValueError("its values have no names")
    values: dict[str, Any] = dict(zip(parts[::2], parts[1::2], strict=True))
    if dump_mapping(values) != content:
        raise ValueError("it holds more than single values, each under its name")
    return values


def _check_table(values: Mapping[Any, Any]) -> None:
    """Walk through a table, so that neither loops nor towers of lists reach anybody else."""
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
            raise ValueError(f"holds a {type(value).__name__} under {name[:60]!r}; a plain, finite value is needed")
        if depth > _DEEPEST or seen + len(waiting) + len(inside) > _MOST_VALUES:
            raise ValueError(f"holds too much under {name[:60]!r}")
        waiting += [(name, part, depth + 1) for part in inside]


def _check_names(values: Mapping[Any, Any]) -> None:
    for name in values:
        if type(name) is not str:
            # a number too long to be written down is no plain one
            told = ascii(name) if _is_plain(name) else f"of type {type(name).__name__}"
            raise ValueError(f"has a name {told}; words are needed")


def _is_plain(value: object) -> bool:
    if type(value) is int:
        return -_LARGEST_INT <= value < _LARGEST_INT
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) in (bool, str)
