"""The commands as a user calls them, on a scan small enough to wait for."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import ptycho_torch as pt
from ptycho_torch.cli.main import main
from ptycho_torch.models.archive import open_bundle

SMALL = ["--object_px", "64", "--patch_px", "32", "--step_px", "6", "--probe_diameter_px", "12", "--photons", "1e5"]
# three steps make no network whose own object could be kept
BARELY_TRAINED = (3,)
NETWORK = ["--width", "4", "--depth", "2", "--group_size", "8", "--bootstrap_epochs", "2"]


def run(*arguments: str | Path, codes: tuple[int, ...] = (0,)) -> None:
    assert main([*map(str, arguments), "--quiet"]) in codes


@pytest.fixture(scope="module")
def scan_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    run("simulate", "--output", path, *SMALL)
    return path


@pytest.fixture(scope="module")
def trained(scan_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    run("train", "--data", scan_path, "--output_dir", folder, "--steps", "3", "--device", "cpu", *NETWORK)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    stored = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return {name: value for name, value in stored["state_dict"].items() if name.startswith("generator")}


def test_simulating_twice_gives_the_same_file(scan_path: Path, tmp_path: Path) -> None:
    """[WF-7.3]"""
    run("simulate", "--output", tmp_path / "again.npz", *SMALL)
    run("simulate", "--output", tmp_path / "other.npz", "--seed", "1", *SMALL)
    again, other = (pt.read_scans(tmp_path / name)[0] for name in ("again.npz", "other.npz"))
    scan = pt.read_scans(scan_path)[0]
    np.testing.assert_array_equal(scan.counts, again.counts)
    assert (scan.counts != other.counts).any()


def test_refine_leaves_object_pictures_figures_and_a_record(scan_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "refined"
    solver = ["--method", "least_squares", "--epochs", "12", "--probe_start", "1", "--pixel_m", "2e-8"]
    run("refine", "--data", scan_path, "--output_dir", folder, "--halves", *solver)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["complex_error"] < 0.25
    assert len(metrics["R_by_epoch"]) == 12
    assert metrics["R"] < 1.1 * metrics["R_floor"]
    assert 0 < metrics["frc_half_bit_nyquist"] <= 1
    with np.load(folder / "object.npz") as stored:
        assert stored["pixel_m"] == 2e-8
        found = pt.Canvas(stored["object"], tuple(stored["origin_px"]))
    truth = pt.read_scans(scan_path)[0].truth
    assert truth is not None
    middle = found.cut_window((24, 24), (16, 16)), truth.cut_window((24, 24), (16, 16))
    assert abs(np.vdot(*middle)) / np.prod([np.linalg.norm(part) for part in middle]) > 0.98
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["settings"]["refine"]["epochs"] == 12
    assert {(folder / name).is_file() for name in record["outputs"].values()} == {True}


def test_a_failed_run_leaves_its_results_and_ends_with_3(
    scan_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scan,) = pt.read_scans(scan_path)
    noise = np.random.default_rng(0).poisson(100, scan.counts.shape).astype(np.float32)
    pt.write_scan(replace(scan, counts=noise, truth=None), tmp_path / "noise.npz")
    out = tmp_path / "out"
    run("refine", "--data", tmp_path / "noise.npz", "--output_dir", out, codes=(3,))
    said = capsys.readouterr().out
    assert "verdict: failed because" in said
    assert said.splitlines()[-1].startswith(f"next: ptycho-torch doctor {tmp_path / 'noise.npz'}")
    figures = json.loads((out / "metrics.json").read_text())
    assert figures["verdict"].startswith("failed because")
    assert (out / "object.npz").is_file()
    assert json.loads((out / "run.json").read_text())["results"]


def test_training_leaves_checkpoints_losses_and_the_index(trained: Path) -> None:
    """[WF-5.2]"""
    files = ["best-checkpoint.ckpt", "last.ckpt", "previous.ckpt"]
    assert sorted(path.name for path in (trained / "checkpoints").iterdir()) == files
    with (trained / "logs" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["train_loss_step"]) for row in rows if row["train_loss_step"]]
    assert len(losses) == 3
    assert np.isfinite(losses).all()
    assert any(row["val_loss"] for row in rows)
    record = json.loads((trained / "run.json").read_text())
    assert record["results"]["steps"] == 3
    assert record["settings"]["model"]["width"] == 4


def test_training_leaves_a_bundle_of_its_last_checkpoint(scan_path: Path, trained: Path) -> None:
    """[PS-2.3]. [PS-1.9]. [WF-5.3]"""
    bundle, photons = open_bundle(trained), pt.read_scans(scan_path)[0].photons_per_pattern
    for name, value in weights(trained).items():
        np.testing.assert_array_equal(bundle.weights[name], value.numpy())
    assert bundle.steps == 3
    told = {name: bundle.params[name] for name in ("N", "train_data_file_path", "output_prefix", "nepochs")}
    # a network that is handed on does not tell where it was trained
    assert told == {"N": 32, "train_data_file_path": None, "output_prefix": "training_outputs", "nepochs": 10}
    assert bundle.params["nphotons"] == pytest.approx(photons, rel=1e-6)


def test_the_same_seed_trains_the_same_network(scan_path: Path, trained: Path, tmp_path: Path) -> None:
    """[WF-7.1]"""
    train: list[str | Path] = ["train", "--data", scan_path, "--steps", "3", "--device", "cpu", *NETWORK]
    run(*train, "--output_dir", tmp_path / "same")
    run(*train, "--output_dir", tmp_path / "other", "--seed", "5")
    for name, value in weights(trained).items():
        torch.testing.assert_close(weights(tmp_path / "same")[name], value, rtol=0, atol=0)
    assert any((weights(tmp_path / "other")[name] != value).any() for name, value in weights(trained).items())


def test_a_run_can_be_resumed_with_more_steps(scan_path: Path, trained: Path, tmp_path: Path) -> None:
    """[WF-7.4]"""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    train: list[str | Path] = [
        "train",
        "--data",
        scan_path,
        "--output_dir",
        folder,
        "--resume",
        "--device",
        "cpu",
        *NETWORK,
    ]
    run(*train, "--steps", "5")
    assert json.loads((folder / "run.json").read_text())["results"]["steps"] == 5
    assert open_bundle(folder).steps == 5
    assert (folder / "logs" / "metrics.csv").read_bytes() == (trained / "logs" / "metrics.csv").read_bytes()
    assert (folder / "logs-2" / "metrics.csv").is_file()
    assert json.loads((folder / "run-1.json").read_text())["results"]["steps"] == 3
    assert main([*map(str, train), "--steps", "6", "--quiet", "--learning_rate", "0.1"]) == 2


def test_a_run_can_be_replaced_when_asked(scan_path: Path, trained: Path, tmp_path: Path) -> None:
    """[WF-5.4]"""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    (folder / "stale.txt").touch()
    run("refine", "--data", scan_path, "--output_dir", folder, "--epochs", "6", "--overwrite")
    assert not (folder / "stale.txt").exists()
    assert not (folder / "checkpoints").exists()
    assert (folder / "object.npz").is_file()


def test_infer_without_polish_gives_the_networks_own_object(scan_path: Path, trained: Path, tmp_path: Path) -> None:
    """[DC-6.2] [WF-6.3]"""
    folder, checkpoint = tmp_path / "network", trained / "checkpoints" / "last.ckpt"
    run(
        "infer",
        "--checkpoint",
        checkpoint,
        "--data",
        scan_path,
        "--output_dir",
        folder,
        "--no-polish",
        codes=BARELY_TRAINED,
    )
    with np.load(folder / "object.npz") as final, np.load(folder / "network_object.npz") as network:
        np.testing.assert_array_equal(final["object"], network["object"])
    figures = {"network", "speed", "verdict", "diagnostics"}
    assert set(json.loads((folder / "metrics.json").read_text())) == figures | {"version", "written_by"}


def test_infer_from_the_bundle_gives_the_object_of_the_last_checkpoint(
    scan_path: Path, trained: Path, tmp_path: Path
) -> None:
    """[WF-6.2]"""
    sources = {
        "checkpoint": ("--checkpoint", trained / "checkpoints" / "last.ckpt"),
        "folder": ("--model_path", trained),
        "file": ("--model_path", trained / "wts.h5.zip"),
    }
    for name, source in sources.items():
        run(
            *("infer", *source, "--data", scan_path, "--output_dir", tmp_path / name, "--no-polish", "--device", "cpu"),
            codes=BARELY_TRAINED,
        )
    objects = [np.load(tmp_path / name / "object.npz")["object"] for name in sources]
    np.testing.assert_array_equal(objects[0], objects[1])
    np.testing.assert_array_equal(objects[0], objects[2])
    inputs = json.loads((tmp_path / "folder" / "run.json").read_text())["inputs"]
    assert [Path(entry["path"]).name for entry in inputs] == ["wts.h5.zip", "scan.npz"]


def test_infer_twice_gives_the_same_object(scan_path: Path, trained: Path, tmp_path: Path) -> None:
    """[WF-7.2]"""
    checkpoint = trained / "checkpoints" / "last.ckpt"
    for name, batch_size in (("one", "64"), ("two", "64"), ("three", "5")):
        infer: list[str | Path] = [
            "infer",
            "--checkpoint",
            checkpoint,
            "--data",
            scan_path,
            "--output_dir",
            tmp_path / name,
        ]
        polish = ["--polish_epochs", "3", "--polish_method", "least_squares", "--no_control"]
        run(*infer, *polish, "--batch_size", batch_size)
    objects = [np.load(tmp_path / name / "object.npz")["object"] for name in ("one", "two", "three")]
    np.testing.assert_array_equal(objects[0], objects[1])
    np.testing.assert_allclose(objects[0], objects[2], atol=1e-3)


def test_several_scans_train_one_network(scan_path: Path, tmp_path: Path) -> None:
    """[DC-6.3] [WF-5.1]"""
    folder = tmp_path / "scans"
    folder.mkdir()
    shutil.copy(scan_path, folder / "a.npz")
    run("simulate", "--output", folder / "b.npz", "--seed", "3", *SMALL)
    train: list[str | Path] = [
        "train",
        "--ptycho_dir",
        folder,
        "--output_dir",
        tmp_path / "run",
        "--steps",
        "3",
        "--device",
        "cpu",
    ]
    run(*train, *NETWORK)
    with np.load(tmp_path / "run" / "index_state.npz") as index:
        assert index["scans"].tolist() == ["a.npz", "b.npz"]
        assert index["training_1"].shape[1] == 8
    stored = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert stored["state_dict"]["probes"].shape == (2, 1, 32, 32)


def test_the_wall_clock_ends_training_and_says_so(
    scan_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """[WF-8.3]"""
    train: list[str | Path] = [
        "train",
        "--data",
        scan_path,
        "--output_dir",
        tmp_path / "run",
        "--device",
        "cpu",
        *NETWORK,
    ]
    run(*train, "--steps", "100000", "--max_minutes", "0.02")
    result = json.loads((tmp_path / "run" / "run.json").read_text())["results"]
    assert result["out_of_time"]
    assert 0 < result["steps"] < 100000
    assert "max_minutes" in caplog.text
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


def test_the_same_in_python(scan_path: Path, trained: Path) -> None:
    scan = pt.read_scans(scan_path)[0]
    polish = pt.RefineSettings(epochs=2)
    result = pt.reconstruct_scan(trained / "checkpoints" / "last.ckpt", scan, polish=polish, device="cpu")
    assert result.canvas.pixels.shape == result.prediction.canvas.pixels.shape
    assert result.polished is not None
    assert np.isfinite(result.canvas.pixels).all()


@pytest.mark.parametrize("command", ["simulate", "train", "infer", "refine", "demo"])
def test_every_command_explains_itself_without_loading_torch(command: str) -> None:
    """[WF-8.2]"""
    code = (
        "import sys\nfrom ptycho_torch.cli.main import main\n"
        f"try:\n    main(['{command}', '--help'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--" in done.stdout


def test_a_reader_that_leaves_early_gets_no_traceback(scan_path: Path, tmp_path: Path) -> None:
    words = ["refine", "--data", scan_path, "--output_dir", tmp_path / "o", "--epochs", "1", "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "ptycho_torch", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert errors == b""
    assert (tmp_path / "o" / "object.npz").is_file()
