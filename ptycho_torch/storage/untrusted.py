"""What files from outside say about themselves: how large it may be before it is believed, and what damage is."""

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
# what is larger than this has to be backed by bytes of the file; nothing packs tighter than deflate can
_UNQUESTIONED_BYTES = 2**26
_TIGHTEST_PACKING = 1100
_LONGEST_NAME = 60
_LONGEST_REASON = 200
_NAMED = 10
# what the system, zipfile, zlib, numpy, json and h5py raise when a file is not what it claims to be
_DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    TypeError,
    EOFError,
    RuntimeError,
    SyntaxError,
    MemoryError,
    OverflowError,
    LookupError,
)
_DAMAGE += (zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError)


@contextlib.contextmanager
def explain_damage(place: Path | str, kind: str, error: type[PtychoError]) -> Iterator[None]:
    """Turn whatever a file that is not what it claims to be raises into one error that says so.

    Args:
        place: the file, or the name of a part of one.
        kind: what it should be.
        error: the error to raise; errors of this package that are raised inside pass through.
    """
    if isinstance(place, Path) and not place.is_file():
        raise error(f"{place}: there is no such file")
    try:
        yield
    except PtychoError:
        raise
    except _DAMAGE as found:
        problem = "holds pickled objects" if "unpickled" in str(found) else f"is not a readable {kind}"
        raise error(f"{place}: {problem} ({summarise_error(found)})") from found


def check_declared_size(name: str, claimed_bytes: int, stored_bytes: int, largest_bytes: int = LARGEST_BYTES) -> None:
    """Check what a part of a file claims against the bytes that it takes; up to 64 MiB are not asked for.

    Raises:
        ValueError: it claims more than is read, or more than the bytes can unpack to.
    """
    unit, size = ("GiB", 2**30) if claimed_bytes >= 2**30 else ("MiB", 2**20)
    claim = f"{abbreviate(name)} claims {claimed_bytes / size:.0f} {unit}"
    if claimed_bytes > largest_bytes:
        raise ValueError(f"{claim}; at most {largest_bytes / 2**30:.0f} GiB are read")
    if claimed_bytes > max(_UNQUESTIONED_BYTES, _TIGHTEST_PACKING * stored_bytes):
        raise ValueError(f"{claim} that nothing backs: it has {stored_bytes} bytes")


def abbreviate(name: str) -> str:
    """A name from a file as part of a line: short, and without line breaks or what else a terminal obeys."""
    return ascii(name[:_LONGEST_NAME])[1:-1]


def join_names(names: Iterable[str]) -> str:
    """Some of the names from a file, and how many more there are; empty where there are none."""
    ordered = sorted(names)
    more = [f"and {len(ordered) - _NAMED} more"] if len(ordered) > _NAMED else []
    return ", ".join([*map(abbreviate, ordered[:_NAMED]), *more])


def summarise_error(error: Exception) -> str:
    """What an error of a library says, in one short line; its kind where it says nothing."""
    lines = str(error).splitlines()
    return lines[0][:_LONGEST_REASON] if lines else type(error).__name__
