"""Plain values as standard pickles: written so that every unpickler reads them, read so that nothing in them can run.

A pickle is a program. Before any of it is carried out, its instructions are looked through: only those that make plain
values are let past, none may ask for more memory than the pickle itself takes, and the names in tables are texts: the
hash of a tuple of tuples can take longer than anybody waits, and it is looked for while the pickle is carried out.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from ptycho_torch.errors import BundleError

PROTOCOLS = (2, 3, 4)
LARGEST_PICKLE_BYTES = 2**20
_MOST_VALUES = 10_000
_DEEPEST = 8
_LARGEST_INT = 2**63
# as pickletools calls them
_TEXT, _MARK = "str", "mark"
_CODE: tuple[str, ...] = ("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX")
_CODE += ("EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID")
_PLAIN: tuple[str, ...] = ("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE")
_PLAIN += ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT")
_PLAIN += ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_PLAIN += ("EMPTY_LIST", "APPEND", "APPENDS", "LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")
_PLAIN += ("EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET")

_DAMAGE = (
    pickle.UnpicklingError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    AttributeError,
    OverflowError,
    MemoryError,
)


class _Unpickler(pickle.Unpickler):
    """Knows no class, no function and no outside object."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"names {module}.{name}")

    def persistent_load(self, identity: object) -> NoReturn:
        raise pickle.UnpicklingError("names an object outside")


class _Stack:
    """What kind of value lies where on the stack of an unpickler, instruction by instruction."""

    def __init__(self) -> None:
        self._kinds: list[str] = []
        self._memo: dict[int, str] = {}

    def carry_out(self, instruction: pickletools.OpcodeInfo, argument: Any) -> None:  # noqa: ANN401 - as in pickletools
        """Do what one instruction does to the stack.

        Raises:
            BundleError: it makes something else than a text the name of a value.
            LookupError: it takes what is not there.
        """
        name = instruction.name
        if name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self._memo[len(self._memo) if name == "MEMOIZE" else argument] = self._kinds[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self._kinds.append(self._memo[argument])
        else:
            taken = self._take([kind.name for kind in instruction.stack_before])
            names = {"SETITEM": taken[1:2], "SETITEMS": taken[2::2], "DICT": taken[1::2]}.get(name, [])
            if any(kind != _TEXT for kind in names):
                raise BundleError("gives a value a name that is no text")
            self._kinds += [kind.name for kind in instruction.stack_after]

    def _take(self, kinds: list[str]) -> list[str]:
        """The kinds at the end of the stack; with a mark among those that are wanted, all that lie above the last."""
        count = len(kinds)
        if _MARK in kinds:
            count = kinds.index(_MARK) + self._kinds[::-1].index(_MARK) + 1
        if count > len(self._kinds):
            raise LookupError("the stack is shorter")
        start = len(self._kinds) - count
        taken, self._kinds[start:] = self._kinds[start:], []
        return taken


def dump_table(values: Mapping[str, Any]) -> bytes:
    """A table of plain values as a pickle; equal tables give equal bytes.

    Raises:
        BundleError: a name or a value is not plain.
    """
    _check_table(values)
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, protocol=PROTOCOLS[0])
    # without the memo the bytes depend on the values alone, not on which of them are one object in memory
    pickler.fast = True
    pickler.dump(dict(sorted(values.items())))
    return stream.getvalue()


def load_table(content: bytes) -> dict[str, Any]:
    """The table of plain values in a pickle from outside.

    Raises:
        BundleError: it is damaged, too large, holds anything else, or would run code.
    """
    if len(content) > LARGEST_PICKLE_BYTES:
        raise BundleError(f"is larger than {LARGEST_PICKLE_BYTES // 2**20} MiB")
    try:
        _check_instructions(content)
        values = _Unpickler(io.BytesIO(content)).load()
    except _DAMAGE as error:
        raise BundleError(f"is no readable pickle ({type(error).__name__})") from error
    if not isinstance(values, dict):
        raise BundleError(f"holds a {type(values).__name__}; a table of plain values is needed")
    _check_table(values)
    return values


def _check_instructions(content: bytes) -> None:
    end, stack = 0, _Stack()
    for number, (instruction, argument, position) in enumerate(pickletools.genops(content)):
        name = instruction.name
        if number == 0 and (name != "PROTO" or argument not in PROTOCOLS):
            raise BundleError(f"is of another protocol; {', '.join(map(str, PROTOCOLS))} are read")
        if name in _CODE:
            told = f" {argument!r}"[:60] if argument else ""
            raise BundleError(f"names a class, a function or an outside object{told}, which could run code")
        if name not in _PLAIN:
            raise BundleError(f"holds something else than plain values ({name})")
        if not _is_plain(argument):
            raise BundleError("holds a number of more than 64 bits")
        if name in ("BINPUT", "LONG_BINPUT") and int(argument or 0) > len(content):
            raise BundleError("asks for more memory than it can need")
        stack.carry_out(instruction, argument)
        end = int(position or 0)
    if end + 1 != len(content):
        raise BundleError("goes on after its end")


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
            raise BundleError(f"holds a {type(value).__name__} under {name[:60]!r}; a plain value is needed")
        if depth > _DEEPEST or seen + len(waiting) + len(inside) > _MOST_VALUES:
            raise BundleError(f"holds too much under {name[:60]!r}")
        waiting += [(name, part, depth + 1) for part in inside]


def _check_names(values: Mapping[Any, Any]) -> None:
    for name in values:
        if type(name) is not str:
            # a number too long to be written down is no plain one
            told = ascii(name) if _is_plain(name) else f"of type {type(name).__name__}"
            raise BundleError(f"has a name {told}; words are needed")


def _is_plain(value: object) -> bool:
    if type(value) is int:
        return -_LARGEST_INT <= value < _LARGEST_INT
    return value is None or type(value) in (bool, float, str)
