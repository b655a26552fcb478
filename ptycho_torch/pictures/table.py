"""Tables of names and values as HTML, for notebooks and pages."""

from __future__ import annotations

import html
from collections.abc import Iterable


def make_table(rows: Iterable[tuple[str, ...]], heading: tuple[str, ...] = ()) -> str:
    """Make a table; every cell is plain text.

    Args:
        rows: cells by row.
        heading: names of the columns.
    """
    head = f"<tr>{''.join(f'<th>{html.escape(cell)}</th>' for cell in heading)}</tr>" if heading else ""
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{head}{body}</table>"
