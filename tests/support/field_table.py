"""The table of the client's fields as it stands in docs/ptychodus.md; run this file to write it there."""

from __future__ import annotations

import re
from pathlib import Path

from ptycho_torch.contracts.ptychodus.configs import FIELDS

PAGE = Path(__file__).parents[2] / "docs" / "ptychodus.md"
_MARKS = "<!-- fields:begin -->", "<!-- fields:end -->"


def table() -> str:
    """One row for each field, in the order of the client's configurations."""
    rows = ["| field | setting | default | verdict | what it does here |", "|---|---|---|---|---|"]
    for row in FIELDS:
        meaning = row.meaning
        setting = meaning.setting or row.name
        rows.append(f"| `{row.label}` | {setting} | `{row.default!r}` | {meaning.verdict} | {meaning.effect} |")
    return "\n".join(rows)


def with_table(page: str) -> str:
    """The page with the table between its marks."""
    begin, end = _MARKS
    return re.sub(f"{begin}.*{end}", lambda _: f"{begin}\n{table()}\n{end}", page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
