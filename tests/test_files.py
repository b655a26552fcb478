from __future__ import annotations

import json
from pathlib import Path

import pytest

from ptycho_torch.errors import OutputError
from ptycho_torch.storage.writing import prepare_folder, write_atomically, write_json


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_in_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "result.bin"
    with write_atomically(path) as file:
        file.write(b"half")
        assert not path.exists()
        file.write(b"whole")
    assert path.read_bytes() == b"halfwhole"
    assert names(path.parent) == ["result.bin"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "result.bin"
    path.write_bytes(b"old")

    def failing() -> None:
        with write_atomically(path) as file:
            file.write(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["result.bin"]


@pytest.mark.parametrize("place", ["taken/result.bin", "folder", "taken/deeper/result.bin"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "taken").write_text("a file")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(OutputError, match=f"{place}: cannot be written"), write_atomically(tmp_path / place) as file:
        file.write(b"new")
    assert names(tmp_path) == ["folder", "taken"]


def test_json_is_readable_and_strict(tmp_path: Path) -> None:
    write_json({"µ": [1, 2.5, None]}, tmp_path / "values.json")
    text = (tmp_path / "values.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"µ": [1, 2.5, None]}
    assert "µ" in text
    assert text.endswith("}\n")
    write_json({"value": float("nan"), "values": [1.5, (float("-inf"),)]}, tmp_path / "values.json")
    text = (tmp_path / "values.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"value": None, "values": [1.5, [None]]}


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("overwrite", [False, True])
def test_new_and_empty_folders_are_taken(tmp_path: Path, there: bool, overwrite: bool) -> None:
    folder = tmp_path / "deep" / "results"
    if there:
        folder.mkdir(parents=True)
    prepare_folder(folder, overwrite=overwrite)
    assert names(folder) == []


def run_folder(tmp_path: Path) -> Path:
    """A folder that an earlier run left."""
    folder = tmp_path / "results"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.ckpt").write_text("weights")
    (folder / "run.json").write_text("{}")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").write_text("data")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    return folder


def test_results_are_not_replaced_unasked(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    with pytest.raises(OutputError, match=r"is not empty; .*--overwrite"):
        prepare_folder(folder, overwrite=False)
    assert (folder / "checkpoints" / "last.ckpt").exists()


def test_results_are_replaced_when_asked_but_nothing_outside(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    prepare_folder(folder, overwrite=True)
    assert names(folder) == []
    assert (tmp_path / "elsewhere" / "precious").read_text() == "data"


def test_a_folder_that_no_run_wrote_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match=r"no run\.json of a run"):
        prepare_folder(tmp_path, overwrite=True)
    assert names(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize("place", ["taken", "taken/results"])
def test_a_file_in_the_way_is_told(tmp_path: Path, place: str) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match=r"is a file|cannot be written"):
        prepare_folder(tmp_path / place, overwrite=True)
