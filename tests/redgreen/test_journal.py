"""The append-only logs: what is written is read back, and a changed or cut line is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from redgreen.evidence import journal
from redgreen.project import Project


def test_records_come_back_in_the_order_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "plans" / "guards.jsonl"
    for number in range(3):
        journal.append(Project(tmp_path), file, {"number": number, "text": "ä\n|"})
    assert [(record["number"], record["text"]) for record in journal.read(file)] == [(n, "ä\n|") for n in range(3)]


def test_a_missing_log_holds_nothing(tmp_path: Path) -> None:
    assert journal.read(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda line: line.replace(b'"number":2', b'"number":3'), id="a value"),
        pytest.param(lambda line: line[:-10], id="cut"),
        pytest.param(lambda line: line.replace(b"{", b'{"number":1,', 1), id="a key twice"),
        pytest.param(lambda line: json.dumps({"number": 2}).encode(), id="without a seal"),
        pytest.param(lambda line: b"", id="empty"),
    ],
)
def test_a_changed_line_is_named(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    file = tmp_path / "guards.jsonl"
    for number in range(1, 4):
        journal.append(Project(tmp_path), file, {"number": number})
    lines = file.read_bytes().splitlines()
    lines[1] = change(lines[1])
    file.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(ValueError, match=r"\Aline 2 "):
        journal.read(file)


def test_a_line_that_a_full_disk_cut_does_not_swallow_the_next(tmp_path: Path) -> None:
    file = tmp_path / "guards.jsonl"
    file.write_bytes(b'{"number":')
    journal.append(Project(tmp_path), file, {"number": 2})
    assert json.loads(file.read_bytes().splitlines()[1])["number"] == 2


def test_lines_of_several_writers_are_all_kept(tmp_path: Path) -> None:
    file = tmp_path / "guards.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: journal.append(Project(tmp_path), file, {"number": number}), range(64)))
    assert sorted(record["number"] for record in journal.read(file)) == list(range(64))
