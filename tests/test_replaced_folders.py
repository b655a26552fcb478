"""Folders that are replaced as a whole, and what lost processes have left beside them."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from ptycho_torch.errors import OutputError
from ptycho_torch.storage.replacing import replace_folder

LOST = "0" * 32


def write(folder: Path, text: str, *, overwrite: bool = False) -> None:
    with replace_folder(folder, overwrite=overwrite, known_by="known") as place:
        (place / "known").write_text(text, encoding="utf-8")


def make(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "known").write_text(text, encoding="utf-8")
    return folder


def test_what_a_lost_process_has_written_is_removed(tmp_path: Path) -> None:
    make(tmp_path / f".out.{LOST}.part", "half")
    write(tmp_path / "out", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_was_being_replaced_returns(tmp_path: Path) -> None:
    """The process was lost after it had renamed the earlier folder, and before the new one took its place."""
    make(tmp_path / f".out.{LOST}.old", "earlier")
    make(tmp_path / f".out.{LOST}.part", "new")
    with pytest.raises(OutputError, match="already exists"):
        write(tmp_path / "out", "another")
    assert (tmp_path / "out" / "known").read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_process_still_writes_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    writing = make(tmp_path / f".out.{LOST}.part", "half")
    for name in (".out.notes.part", f".other.{LOST}.part"):
        make(tmp_path / name, "of others")
    descriptor = os.open(writing, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    write(tmp_path / "out", "new")
    os.close(descriptor)
    names = [".out.notes.part", f".other.{LOST}.part", writing.name, "out"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_failure_leaves_the_earlier_folder_alone(tmp_path: Path) -> None:
    write(tmp_path / "out", "earlier")
    with pytest.raises(UnicodeEncodeError):
        write(tmp_path / "out", "half\ud800", overwrite=True)
    assert (tmp_path / "out" / "known").read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    write(tmp_path / "out", "new", overwrite=True)
    assert (tmp_path / "out" / "known").read_text() == "new"


def test_the_slower_of_two_replaces_nothing(tmp_path: Path) -> None:
    slower = replace_folder(tmp_path / "out", overwrite=False, known_by="known")
    slower.__enter__()
    write(tmp_path / "out", "faster")
    with pytest.raises(OutputError, match="already exists"):
        slower.__exit__(None, None, None)
    assert (tmp_path / "out" / "known").read_text() == "faster"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
