from __future__ import annotations

from field_table import PAGE, with_table

from ptycho_torch.contracts.ptychodus.configs import FIELDS


def test_the_page_tells_what_becomes_of_every_field() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page, "run: python tests/support/field_table.py"
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) == len(FIELDS) == 91
