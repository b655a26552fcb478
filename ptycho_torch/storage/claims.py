"""What files from outside say about themselves: how large it may be before it is believed, and how it is told."""

from __future__ import annotations

from collections.abc import Iterable

LARGEST_ARRAY_BYTES = 2**36
# what is larger than this has to be backed by bytes of the file; nothing packs tighter than deflate can
_UNQUESTIONED_BYTES = 2**26
_TIGHTEST_PACKING = 1100
_LONGEST_NAME = 60
_LONGEST_REASON = 200
_NAMED = 10


def is_backed(claimed_bytes: int, stored_bytes: int) -> bool:
    """Whether that many stored bytes can unpack to what is claimed; up to 64 MiB are not asked for."""
    return claimed_bytes <= max(_UNQUESTIONED_BYTES, _TIGHTEST_PACKING * stored_bytes)


def shown(name: str) -> str:
    """A name from a file as part of a line: short, and without line breaks or what else a terminal obeys."""
    return ascii(name[:_LONGEST_NAME])[1:-1]


def listed(names: Iterable[str]) -> str:
    """Some of the names from a file, and how many more there are; empty where there are none."""
    ordered = sorted(names)
    more = [f"and {len(ordered) - _NAMED} more"] if len(ordered) > _NAMED else []
    return ", ".join([*map(shown, ordered[:_NAMED]), *more])


def reason(error: Exception) -> str:
    """What an error of a library says, in one short line; its kind where it says nothing."""
    lines = str(error).splitlines()
    return lines[0][:_LONGEST_REASON] if lines else type(error).__name__
