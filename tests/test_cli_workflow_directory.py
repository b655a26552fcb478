"""The commands on the client's working folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from client_files import Content, metres, read_content

from ptycho_torch.cli.main import main
from ptycho_torch.models.checkpoint import load_network

SMALL = ["--object_px", "64", "--patch_px", "32", "--step_px", "6", "--probe_diameter_px", "12", "--photons", "1e5"]
NETWORK = ["--width", "4", "--depth", "2", "--group_size", "8", "--bootstrap_epochs", "2", "--steps", "2"]


def run(*arguments: str | Path) -> None:
    assert main([*map(str, arguments), "--quiet"]) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("client") / "sample"
    run("simulate", "--output", path, *SMALL)
    return path


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trained") / "run"
    run("train", "--data", folder, "--output_dir", output, "--device", "cpu", *NETWORK)
    return output


def given_product(folder: Path) -> Content:
    assert folder.is_dir(), "no folder was written"
    return read_content(folder / "product.h5")


def overlap(result: Content, given: Content) -> tuple[np.ndarray, np.ndarray]:
    """The middle of the found object and of the true one, at the same metres."""
    found, truth = result.arrays["object"][0], given.arrays["object"][0]
    pixel = given.attributes["object/pixel_width_m"]
    first = np.subtract(metres(result, 0, 0), metres(given, 0, 0)) / pixel
    np.testing.assert_allclose(first, np.round(first), atol=1e-6)
    row, column = np.round(first).astype(int)
    part = slice(24, 40)
    return found[24 - row : 40 - row, 24 - column : 40 - column], truth[part, part]


def test_simulating_into_a_folder_writes_its_files_with_the_truth(folder: Path) -> None:
    """[DC-5.6]"""
    truth = given_product(folder).arrays["object"]
    files = ["diffraction.h5", "product.h5", "settings.ini", "simulation.run.json"]
    assert sorted(path.name for path in folder.iterdir()) == files
    assert truth.shape == (1, 64, 64)
    assert np.ptp(np.angle(truth)) > 0.1


def test_refine_writes_a_product_whose_object_lies_on_the_truth(folder: Path, tmp_path: Path) -> None:
    """[DC-5.8]"""
    given, output = given_product(folder), tmp_path / "refined"
    solver = ["--method", "least_squares", "--epochs", "12", "--probe_start", "1"]
    run("refine", "--data", folder, "--output_dir", output, *solver)
    result = read_content(output / "product.h5")
    found, truth = overlap(result, given)
    assert abs(np.vdot(found, truth)) / np.linalg.norm(found) / np.linalg.norm(truth) > 0.98
    for name in ("name", "photon_energy_eV", "detector_object_distance_m", "object/pixel_width_m"):
        assert result.attributes[name] == given.attributes[name]
    np.testing.assert_array_equal(result.arrays["probe_position_x_m"], given.arrays["probe_position_x_m"])
    metrics = json.loads((output / "metrics.json").read_text())
    np.testing.assert_allclose(result.arrays["loss_values"], metrics["R_by_epoch"])
    record = json.loads((output / "run.json").read_text())
    assert [Path(entry["path"]).name for entry in record["inputs"]] == ["diffraction.h5", "product.h5"]
    assert record["outputs"]["product"] == "product.h5"


def test_training_leaves_the_model_and_says_where_it_belongs(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """[DC-5.7]"""
    given_product(folder)
    output = tmp_path / "run"
    run("train", "--data", folder, "--output_dir", output, "--device", "cpu", *NETWORK)
    model, best = (load_network(output / name) for name in ("model.ckpt", "checkpoints/best-checkpoint.ckpt"))
    assert model.experiment == best.experiment.without_places()
    for name, weights in best.generator.state_dict().items():
        assert torch.equal(model.generator.state_dict()[name], weights)
    assert f"copy {output / 'model.ckpt'} to {folder / 'model.ckpt'}" in capsys.readouterr().out


def test_infer_takes_the_model_of_the_folder_and_writes_a_product(folder: Path, trained: Path, tmp_path: Path) -> None:
    """[DC-5.7] [DC-5.8]"""
    given, place, output = given_product(folder), tmp_path / "sample", tmp_path / "result"
    shutil.copytree(folder, place)
    shutil.copy(trained / "model.ckpt", place / "model.ckpt")
    polish = ["--polish_method", "least_squares", "--polish_epochs", "12", "--polish_probe_start", "1", "--no_control"]
    run("infer", "--data", place, "--output_dir", output, "--device", "cpu", *polish)
    result = read_content(output / "product.h5")
    with np.load(output / "object.npz") as stored:
        np.testing.assert_array_equal(result.arrays["object"][0], stored["object"])
        assert float(stored["pixel_m"]) == given.attributes["object/pixel_width_m"]
    np.testing.assert_array_equal(result.arrays["probe"][0], np.load(output / "probe.npy"))
    found, truth = overlap(result, given)
    assert abs(np.vdot(found, truth)) / np.linalg.norm(found) / np.linalg.norm(truth) > 0.9
    assert len(result.arrays["loss_values"]) == 12
    assert json.loads((output / "run.json").read_text())["inputs"][0]["path"].endswith("model.ckpt")


def test_npz_files_leave_neither_model_nor_product(tmp_path: Path) -> None:
    run("simulate", "--output", tmp_path / "scan.npz", *SMALL)
    run("refine", "--data", tmp_path / "scan.npz", "--output_dir", tmp_path / "refined", "--epochs", "1")
    assert (tmp_path / "refined" / "object.npz").is_file()
    assert not (tmp_path / "refined" / "product.h5").exists()


def test_a_written_folder_is_only_replaced_when_asked(folder: Path, tmp_path: Path) -> None:
    given_product(folder)
    place = tmp_path / "sample"
    shutil.copytree(folder, place)
    (place / "notes.txt").write_text("mine")
    assert main(["simulate", "--output", str(place), *SMALL, "--quiet"]) == 2
    run("simulate", "--output", place, *SMALL, "--seed", "9", "--overwrite")
    assert (place / "notes.txt").read_text() == "mine"
    assert (place / "product.h5").read_bytes() != (folder / "product.h5").read_bytes()


def test_the_settings_file_is_where_training_begins_and_options_override_it(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """[WF-5.5]"""
    data = shutil.copytree(folder, tmp_path / "sample")
    text = (data / "settings.ini").read_text(encoding="utf-8")
    changed = text.replace("epochs = 50", "epochs = 2").replace("num_filters_scale = 2", "num_filters_scale = 1")
    assert changed != text
    (data / "settings.ini").write_text(changed, encoding="utf-8")
    output = tmp_path / "run"
    assert main(["train", "--data", str(data), "--output_dir", str(output), "--epochs", "1", "--device", "cpu"]) == 0
    record = json.loads((output / "run.json").read_text())
    assert [Path(entry["path"]).name for entry in record["inputs"]] == ["diffraction.h5", "product.h5", "settings.ini"]
    settings = record["settings"]
    assert settings["model"]["width"] == 12
    assert settings["training"]["group_size"] == 4
    assert settings["training"]["epochs"] == 1
    assert "of 25 patterns lie within the bounds" in caplog.text
    assert (output / "model.ckpt").is_file()


def test_a_settings_file_that_cannot_be_used_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(folder, tmp_path / "sample")
    (data / "settings.ini").write_text("[PtychoPINNTorchTraining]\nepochs = many\n", encoding="utf-8")
    assert main(["train", "--data", str(data), "--output_dir", str(tmp_path / "run"), "--quiet"]) == 2
    assert "settings.ini: [PtychoPINNTorchTraining] epochs is 'many'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_options_win_over_the_settings_file_in_both_directions(folder: Path, tmp_path: Path) -> None:
    data = shutil.copytree(folder, tmp_path / "sample")
    text = (data / "settings.ini").read_text(encoding="utf-8")
    changed = text.replace("subtract_mean_phase = True", "subtract_mean_phase = False")
    changed = changed.replace("learning_rate_warmup_epochs = 0", "learning_rate_warmup_epochs = 3")
    changed = changed.replace("_unsupervised", "_supervised")
    (data / "settings.ini").write_text(changed, encoding="utf-8")
    common: list[str | Path] = ["--data", data, "--epochs", "1", "--device", "cpu"]
    found = []
    for name, options in (("plain", []), ("other", ["--level_labels", "--warmup_steps", "7"])):
        run("train", "--output_dir", tmp_path / name, *common, *options)
        found.append(json.loads((tmp_path / name / "run.json").read_text())["settings"]["training"])
    assert (found[0]["level_labels"], found[1]["level_labels"]) == (False, True)
    assert found[0]["warmup_steps"] > 0
    assert found[1]["warmup_steps"] == 7


def test_a_settings_file_beside_an_ordinary_scan_is_somebody_elses(tmp_path: Path) -> None:
    run("simulate", "--output", tmp_path / "scan.npz", *SMALL)
    (tmp_path / "settings.ini").write_text("[database]\nhost = elsewhere\n", encoding="utf-8")
    run("train", "--data", tmp_path / "scan.npz", "--output_dir", tmp_path / "run", "--device", "cpu", *NETWORK)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["training"]["group_size"] == 8


def test_resuming_and_replacing_exclude_each_other(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "train",
        "--data",
        str(folder),
        "--output_dir",
        str(tmp_path / "run"),
        "--resume",
        "--overwrite",
        "--quiet",
    ]
    assert main(words) == 2
    assert "exclude each other" in capsys.readouterr().err
