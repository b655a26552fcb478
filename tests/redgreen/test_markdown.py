"""Text from tests shows as text in Markdown, in a code span, in a cell and in a fence, as a real parser reads it."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt
from page_reader import HOSTILE, Page, read_page

from redgreen.evidence.artifacts import ArrayFacts, Artifact, render_audit
from redgreen.evidence.markdown import code, escape, fence, link, reveal, row, shorten, table

PARSER = MarkdownIt("commonmark").enable("table").enable("strikethrough")
hostile = pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))


def render(text: str) -> Page:
    return read_page(PARSER.render(text))


@hostile
def test_a_code_span_shows_the_text(text: str) -> None:
    page = render(f"- {code(text)} follows")
    assert page.tags == ["ul", "li", "code"]
    assert page.text.strip() == f"{shorten(text)} follows"


@hostile
def test_escaped_text_shows_in_the_font_around_it(text: str) -> None:
    page = render(f"Before: {escape(text)} and after")
    assert page.tags == ["p"]
    assert page.text.split() == f"Before: {shorten(text)} and after".split()


@hostile
def test_a_cell_stays_a_cell(text: str) -> None:
    page = render("\n".join(table(("one", "two", "three"), [row(code(text), escape(text), "end")])))
    assert page.tags.count("td") == 3
    assert {*page.tags} == {"table", "thead", "tbody", "tr", "th", "td", "code"}
    assert page.text.split()[-1] == "end"
    assert shorten(text).replace("\\|", "\\\\x7c").split() == page.text.split()[3 : 3 + len(shorten(text).split())]


@hostile
def test_a_fence_is_closed_by_nothing_inside(text: str) -> None:
    page = render("\n".join([*fence(text, "diff"), "", "after"]))
    assert page.tags == ["pre", "code", "p"]
    assert page.text.rstrip().endswith("\nafter")
    assert reveal(text).strip("\n") in page.text


@pytest.mark.parametrize("name", ["data.memmap", "persistence.regression", "D4", "unit-torch_module", "1.5/60 s"])
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert escape(name) == name


def test_nothing_invisible_is_left() -> None:
    assert reveal("\u202eabc\u200b\x00\n\x1b[31mred\x1b[0m \x1b[2J") == "\\u202eabc\\u200b\\x00\nred \\x1b[2J"


def test_long_text_is_cut_in_one_line() -> None:
    assert code("x\n" * 1000, 20) == "`x ↵ x ↵ x ↵ x ↵ x ↵…`"
    assert code("") == "(empty)"


def test_a_link_leads_to_a_file_beside_the_page() -> None:
    page = render(link("a) [x](javascript:y).log"))
    assert page.elements == [("p", {}), ("a", {"href": "a%29%20%5Bx%5D%28javascript%3Ay%29.log"})]


def test_the_artifact_audit_shows_hostile_names_as_text() -> None:
    arrays = (ArrayFacts("<b>|`", "float64", (2, 3)),)
    page = render(render_audit([Artifact("main", "a|b`<img src=x>.npz", 3, "ab" * 32, "npz", "*", arrays)]))
    assert page.tags.count("td") == 5
    assert "img" not in page.tags
    assert "a|b`<img src=x>.npz" in page.text
    assert "<b>|`: float64 [2, 3]" in page.text
