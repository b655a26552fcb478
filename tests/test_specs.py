"""Every numbered statement of specs/ and docs/workflows/ is held by a test, and tests name only what is stated."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NUMBER = re.compile(r"\[([A-Z]+-\d+\.\d+)\]")
STATEMENT = re.compile(rf"^- {NUMBER.pattern}", re.MULTILINE)
PAGES = [*sorted((ROOT / "specs").glob("*.md")), *sorted((ROOT / "docs" / "workflows").glob("*.md"))]
SPECS = {path.name: path.read_text(encoding="utf-8") for path in PAGES}
HELD = {
    number
    for path in (ROOT / "tests").rglob("test_*.py")
    for number in NUMBER.findall(path.read_text(encoding="utf-8"))
}


def test_there_are_specs() -> None:
    assert SPECS


@pytest.mark.parametrize("name", SPECS)
def test_every_statement_is_held_by_a_test(name: str) -> None:
    assert not set(STATEMENT.findall(SPECS[name])) - HELD


def test_tests_name_only_what_is_stated() -> None:
    assert not HELD - {number for text in SPECS.values() for number in STATEMENT.findall(text)}


def test_every_number_is_given_once() -> None:
    given = Counter(number for text in SPECS.values() for number in STATEMENT.findall(text))
    assert {number: times for number, times in given.items() if times > 1} == {}


@pytest.mark.parametrize("name", SPECS)
def test_numbers_follow_their_sections_and_one_another(name: str) -> None:
    for section in re.split(r"^## ", SPECS[name], flags=re.MULTILINE)[1:]:
        heading = re.match(r"\d+", section)
        given = [number.split("-")[1].split(".") for number in STATEMENT.findall(section)]
        assert {chapter for chapter, _ in given} <= {heading.group() if heading else ""}
        places = [int(place) for _, place in given]
        assert places == sorted(set(places))


@pytest.mark.parametrize("name", SPECS)
def test_every_page_has_statements(name: str) -> None:
    assert STATEMENT.findall(SPECS[name])
