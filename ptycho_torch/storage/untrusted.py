"""Untrusted files: limits on what they declare, one error for all kinds of damage, safe text from their contents."""

from __future__ import annotations

import contextlib
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from ptycho_torch.errors import PtychoError

LARGEST_BYTES = 2**36
# smaller sizes are accepted unchecked; larger ones must not exceed what the stored bytes can unpack to by deflate
_UNCHECKED_BYTES = 2**26
_HIGHEST_COMPRESSION = 1100
_LONGEST_NAME = 60
_LONGEST_SUMMARY = 200
_MOST_NAMES = 10
# what the system, zipfile, zlib, numpy, json and h5py raise on damaged files
_DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    TypeError,
    EOFError,
    RuntimeError,
    SyntaxError,
    MemoryError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    tokenize.TokenError,
)


@contextlib.contextmanager
def explain_damage(place: Path | str, kind: str, error: type[PtychoError]) -> Iterator[None]:
    """Turn all that reading a missing or damaged file can raise into one error with its name.

    Args:
        place: the file, or the name of a part of it.
        kind: the kind of file, as in "is not a readable NPZ file".
        error: the error to raise; errors of this package raised inside pass unchanged.
    """
    if isinstance(place, Path) and not place.is_file():
        raise error(f"{place}: the file does not exist")
    try:
        yield
    except PtychoError:
        raise
    except _DAMAGE as found:
        problem = "contains pickled objects" if "unpickled" in str(found) else f"is not a readable {kind}"
        raise error(f"{place}: {problem} ({summarise_error(found)})") from found


def check_declared_size(name: str, declared_bytes: int, stored_bytes: int, largest_bytes: int = LARGEST_BYTES) -> None:
    """Check the size that a part of a file declares against the bytes that store it.

    Raises:
        ValueError: the size exceeds the limit, or what the stored bytes can unpack to.
    """
    unit, size = ("GiB", 2**30) if declared_bytes >= 2**30 else ("MiB", 2**20)
    declared = f"{abbreviate(name)} declares a size of {declared_bytes / size:.0f} {unit}"
    if declared_bytes > largest_bytes:
        raise ValueError(f"{declared}; the limit is {largest_bytes / 2**30:.0f} GiB")
    if declared_bytes > max(_UNCHECKED_BYTES, _HIGHEST_COMPRESSION * stored_bytes):
        raise ValueError(f"{declared}, more than its {stored_bytes} stored bytes can contain")


def abbreviate(name: str) -> str:
    """Shorten a name from a file and escape line breaks and control characters, so that it fits into a message."""
    return ascii(name[:_LONGEST_NAME])[1:-1]


def join_names(names: Iterable[str]) -> str:
    """List the first names from a file and the number of the others; `nothing` if there are none."""
    ordered = sorted(names)
    more = [f"and {len(ordered) - _MOST_NAMES} more"] if len(ordered) > _MOST_NAMES else []
    return ", ".join([*map(abbreviate, ordered[:_MOST_NAMES]), *more]) or "nothing"


def summarise_error(error: Exception) -> str:
    """The first line of an error's message, shortened; the name of its class if the message is empty."""
    lines = str(error).splitlines()
    return lines[0][:_LONGEST_SUMMARY] if lines else type(error).__name__
