"""Render pages with jinja2, which escapes every value; what cannot be seen is written so that it can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from redgreen.errors import RegistryError
from redgreen.evidence.folder import STAMP
from redgreen.evidence.markdown import reveal, shorten
from redgreen.evidence.pair import count
from redgreen.evidence.replayed import CellRow, ReplayRecord, name_cell
from redgreen.site.ledger_pages import KINDS, ListPage
from redgreen.site.rows import name_page, name_run_page

if TYPE_CHECKING:
    import jinja2

ASSETS: Final = ("style.css", "filter.js")


def make_environment() -> jinja2.Environment:
    """Make the environment of the templates.

    Raises:
        RegistryError: jinja2 is not installed.
    """
    try:
        import jinja2  # noqa: PLC0415 - an extra, which nothing else needs
    except ImportError:
        raise RegistryError("the site needs jinja2: install it with `pip install './redgreen[site]'`") from None
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("redgreen.site"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "moment": format_moment,
        "cut": shorten,
        "page": lambda name, kind: name_page(kind, name),
        "run_page": name_run_page,
        "heading": lambda kind: KINDS[kind][0],
        "caption": describe_list,
        "cell": find_cell,
        "cell_outcomes": format_outcomes,
        "passed": format_passed,
        "count": count,
    }
    return environment


def format_moment(stamp: str) -> str:
    """Format the name of a `<UTC>` folder as a time of day; other names stay as they are."""
    match = STAMP.match(stamp)
    if match is None:
        return stamp
    time = match[1]
    return f"{time[:10]} {time[11:13]}:{time[13:15]}:{time[15:17]}"


def describe_list(page: ListPage) -> str:
    """Describe a list: how many runs, and which part of them it shows."""
    part = f", part {page.number} of {len(page.pages)}" if len(page.pages) > 1 else ""
    return f"{count(page.total, 'run')}{part}"


def find_cell(replay: ReplayRecord, product: str, tests: str) -> CellRow | None:
    """Find the cell of a replay that had this product and these tests, of RED or GREEN.

    Where two cells are the same files, the name says so in brackets.
    """
    name = name_cell(product, tests)
    return next((cell for cell in replay.cells if cell.name.partition(" (")[0] == name), None)


def format_outcomes(cell: CellRow) -> str:
    """Format the outcomes of a cell: `2 passed, 1 failed`."""
    return ", ".join(f"{number} {outcome}" for outcome, number in sorted(cell.outcomes.items())) or "no test"


def format_passed(count: tuple[int, int] | None) -> str:
    """Format how many of a guard's tests passed."""
    return f"{count[0]} of {count[1]}" if count else "not run"


def _finalize(value: object) -> object:
    """Make what cannot be seen visible in every plain string; what jinja2 has rendered is one of its own strings."""
    return reveal(value) if type(value) is str else value
