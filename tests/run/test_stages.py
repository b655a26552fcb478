"""The stages that are made of others: pretrain, evaluate and experiment, on the command line of plain options."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from short_runs import write_small_scan

import ptycho_torch as pt
from ptycho_torch.cli.main import main

BRIEF = ["--device", "cpu", "--quiet", "--steps", "2", "--width", "4", "--depth", "2", "--disable_mlflow"]
SMALL = [f"--simulation_{text}" for text in ("object_px=64", "patch_px=32", "path=spiral", "step_px=9.2")]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_small_scan(tmp_path / "scan.npz")
    return tmp_path


def results(folder: str) -> dict[str, float]:
    found: dict[str, float] = json.loads(Path(folder, "run.json").read_text())["results"]
    return found


def test_pretraining_simulates_scans_with_the_users_probe(folder: Path) -> None:
    words = ["--data", "scan.npz", "--scans", "3", "--output_dir", "out", *BRIEF, *SMALL, "--simulation_seed", "5"]
    assert main(["pretrain", *words]) == 0
    made = pt.read_scans(folder / "out" / "scans")
    (own,) = pt.read_scans("scan.npz")
    assert len(made) == 3
    probe = own.require_probe()[0]
    for scan in made:
        other = scan.require_probe()[0]
        likeness = abs(np.vdot(probe, other)) / np.linalg.norm(probe) / np.linalg.norm(other)
        assert likeness == pytest.approx(1, abs=1e-5)
    objects = [scan.require_object().pixels for scan in made]
    assert not any(np.allclose(objects[0], other) for other in objects[1:])
    assert results("out")["steps"] == 2
    assert main(
        ["infer", "--checkpoint", "out/network/checkpoints/last.ckpt", "--data", "scan.npz", "--no_polish"]
    ) in (0, 3)


def test_an_evaluation_gives_the_figures_of_the_result_itself(folder: Path) -> None:
    assert main(["refine", "--data", "scan.npz", "--output_dir", "made", "--epochs", "2", "--quiet"]) in (0, 3)
    assert main(["evaluate", "--result", "made", "--data", "scan.npz", "--output_dir", "judged", "--quiet"]) in (0, 3)
    for name in ("R", "R_floor", "complex_error"):
        assert results("judged")[name] == pytest.approx(results("made")[name], rel=1e-5)
    assert json.loads(Path("judged/metrics.json").read_text())["verdict"]
    assert Path("judged/comparison.png").stat().st_size > 1000


def test_an_experiment_trains_on_what_it_simulates_and_reconstructs_it() -> None:
    words = ["--output_dir", "out", *BRIEF, *SMALL, "--bootstrap_epochs", "1", "--polish_epochs", "2"]
    assert main(["experiment", *words, "--no_inference_control"]) in (0, 3)
    assert len(pt.read_scans("out/scan.npz")[0]) == 8
    found = json.loads(Path("out/run.json").read_text())
    assert found["results"]["training"]["steps"] == 2
    assert 0 < found["results"]["network_polish"]["R"] < 1
    assert "flat_polish" not in found["results"]
    assert found["settings"]["refine"]["epochs"] == 2


def test_an_experiment_goes_on_with_the_step_that_was_ended(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["experiment", "--output_dir", "out", *BRIEF, *SMALL, "--bootstrap_epochs", "1", "--polish_epochs", "2"]
    assert main(words) in (0, 3)
    wanted = np.load("out/reconstruction/object.npz")["object"]
    # what a process leaves that is killed before it reconstructs
    shutil.rmtree("out/reconstruction")
    record = json.loads(Path("out/run.json").read_text())
    Path("out/run.json").write_text(json.dumps({**record, "status": "running"}))
    trained = Path("out/network/run.json").read_bytes()
    for changed in ("--steps=3", "--simulation_photons=1e4"):
        assert main([*words, "--resume", changed]) == 2, "the network of other settings was used"
        assert changed.split("=")[0] in capsys.readouterr().err
    assert main([*words, "--resume"]) in (0, 3)
    assert np.array_equal(np.load("out/reconstruction/object.npz")["object"], wanted)
    assert Path("out/network/run.json").read_bytes() == trained, "it trained again"
    assert json.loads(Path("out/run.json").read_text())["results"]["training"]["steps"] == 2
    done = Path("out/reconstruction/run.json").read_bytes()
    assert main([*words, "--resume"]) in (0, 3)
    assert Path("out/reconstruction/run.json").read_bytes() == done, "it reconstructed again"
    assert main([*words, "--resume", "--polish_epochs=3"]) == 2


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["evaluate", "--data", "scan.npz"], "--result"),
        (["evaluate", "--result", "nothing", "--data", "scan.npz"], "nothing"),
        (["evaluate", "--result", "scan.npz", "--data", "scan.npz"], "'object'"),
        (["evaluate", "--result", "far.npz", "--data", "scan.npz"], "does not lie under"),
        (["evaluate", "--result", "flat.npz", "--data", "scan.npz"], "origin_px"),
        (["pretrain", "--data", "nothing.npz"], "nothing.npz"),
        (["pretrain", "--probe", "odd.npy"], "odd.npy"),
        (["pretrain", "--data", "scan.npz", "--simulation_patch_px", "48"], "--simulation_patch_px"),
        (["pretrain", "--scans", "0"], "--scans"),
        (["pretrain", "--resume"], "--resume"),
        (["experiment", "--depth", "6"], "--depth"),
        (["experiment", "--simulation_object_px", "64"], "--simulation_object_px"),
        (["experiment", "--resume"], "--resume"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_written(
    words: Sequence[str], named: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.ones((64, 64), np.complex64)
    np.savez(folder / "far.npz", object=pixels, origin_px=[9000.0, 0.0], pixel_m=np.nan)
    np.savez(folder / "flat.npz", object=pixels, origin_px=[0.0], pixel_m=np.nan)
    np.save(folder / "odd.npy", np.ones((4, 5), np.complex64))
    before = sorted(folder.rglob("*"))
    assert main(list(words)) == 2
    error = capsys.readouterr().err.splitlines()
    assert named in error[-1]
    assert sorted(folder.rglob("*")) == before
