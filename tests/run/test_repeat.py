from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from short_runs import REFINE, write_small_scan

from ptycho_torch.cli.main import main
from ptycho_torch.run.main import main as compose_and_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a scan and a composed run of the solver."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_small_scan(folder / "scan.npz")
        assert compose_and_run("refine", [*REFINE, "refine.seed=3", "run.output_dir=first"]) in (0, 3)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the working folder, whose record says so."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    edit(tmp_path / "first" / "run.json", folder=str(tmp_path))
    return tmp_path


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_record_says_all_that_a_run_depends_on(folder: Path) -> None:
    record = json.loads((folder / "first" / "run.json").read_text())
    assert record["settings"]["refine"]["seed"] == 3
    assert record["options"]["data"] == "scan.npz"
    assert {"torch", "numpy", "lightning", "ptycho-torch"} <= set(record["versions"])
    assert record["environment"]["cores"] >= 1
    assert record["threads"] >= 1
    assert record["git"] is None or len(record["git"]["commit"]) == 40
    assert len(record["inputs"][0]["sha256"]) == 64


def test_a_run_is_repeated_to_the_last_bit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repeat", "first", "--quiet"]) in (0, 3)
    assert "the same as first in all" in capsys.readouterr().out
    names = [sorted(path.name for path in (folder / root).iterdir()) for root in ("first", "first-repeated")]
    assert set(names[0]) - set(names[1]) == {"config.yaml"}  # the command line of plain options composes none
    assert (folder / "first" / "object.npz").read_bytes() == (folder / "first-repeated" / "object.npz").read_bytes()


def test_a_difference_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(folder / "first" / "object.npz") as stored:
        arrays = dict(stored)
    arrays["object"] = arrays["object"] * np.float32(1 + 1e-4)
    np.savez(folder / "first" / "object.npz", **arrays)
    assert main(["repeat", "first", "--quiet"]) == 1
    assert "differs: object.npz: object differs by up to" in capsys.readouterr().out
    words = ["repeat", "first", "--quiet", "--tolerance", "1e-3", "--output_dir", "second"]
    assert main(words) in (0, 3)
    (folder / "first" / "network_object.npz").write_bytes((folder / "first" / "object.npz").read_bytes())
    assert main([*words, "--overwrite"]) == 1
    assert "differs: network_object.npz is only in first" in capsys.readouterr().out


def test_other_settings_give_other_results(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = json.loads((folder / "first" / "run.json").read_text())
    record["settings"]["refine"]["epochs"] = 2
    edit(folder / "first" / "run.json", settings=record["settings"])
    assert main(["repeat", "first", "--quiet"]) == 1
    assert "differs: metrics.json: R " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"status": "running"}, "has not finished"),
        ({"command": "unknown"}, "does not say how"),
        ({"options": None, "arguments": None}, "does not say how"),
        ({"options": {"unknown": 1}}, "'unknown'"),
        ({"settings": {"refine": {"epochs": 0}}}, "epochs"),
        ({"settings": {"refine": {"unknown": 0}}}, "'unknown'"),
        ({"settings": {"refine": []}}, "section refine"),
        ({"inputs": [{"path": "gone.npz", "sha256": "0"}]}, "gone.npz"),
        ({"inputs": [{"path": "scan.npz", "sha256": "0" * 64}]}, "has changed"),
        ({"inputs": [3]}, "inputs"),
    ],
)
def test_a_record_that_cannot_be_repeated_is_refused(
    changes: dict[str, Any], named: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(folder / "first" / "run.json", **changes)
    assert main(["repeat", "first", "--quiet"]) == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1
    assert not (folder / "first-repeated").exists()


def test_a_folder_without_a_record_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repeat", "nothing"]) == 2
    assert "nothing" in capsys.readouterr().err
    (folder / "first" / "run.json").write_text("[1]")
    assert main(["repeat", "first"]) == 2
    assert "is not the record of a run" in capsys.readouterr().err


def test_a_simulated_scan_is_repeated_from_its_record(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--output", "made/scan.npz", "--object_px", "64", "--patch_px", "32", "--quiet"]) == 0
    assert main(["repeat", "made/scan.run.json", "--quiet"]) == 0
    assert "made-repeated: the same as made" in capsys.readouterr().out
