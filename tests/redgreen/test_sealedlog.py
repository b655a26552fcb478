from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from redgreen.evidence.sealedlog import append_line, read_lines
from redgreen.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_lines_come_back_in_order_without_their_seals(project: Project) -> None:
    path = project.base / "A-1" / "guards.jsonl"
    for number in range(3):
        append_line(project, path, {"run": number, "text": "größer"})
    assert read_lines(path) == [{"run": number, "text": "größer"} for number in range(3)]


def test_a_log_that_does_not_exist_is_empty(project: Project) -> None:
    assert read_lines(project.base / "guards.jsonl") == []


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [('"run":1', '"run":9', 2), ("{", "[", 1), ('"seal":"', '"seal":"0', 1)],
)
def test_an_edited_line_is_named(project: Project, old: str, new: str, line: int) -> None:
    path = project.base / "guards.jsonl"
    for number in range(3):
        append_line(project, path, {"run": number})
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=f"guards.jsonl, line {line}"):
        read_lines(path)


def test_writers_at_once_lose_nothing(project: Project) -> None:
    path = project.base / "guards.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: append_line(project, path, {"run": number}), range(80)))
    assert sorted(line["run"] for line in read_lines(path)) == list(range(80))
