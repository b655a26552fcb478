"""Tables on standard output."""

from __future__ import annotations

from collections.abc import Sequence


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows below their heads, columns as wide as their widest value and without those that are empty."""
    kept = [column for column in range(len(heads)) if any(row[column] for row in rows)]
    lines = [[line[column] for column in kept] for line in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip())
