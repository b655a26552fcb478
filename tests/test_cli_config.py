"""Settings files, the version, settings without effect, and refusals that do not wait for torch."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import ptycho_torch as pt
from ptycho_torch.cli.main import main
from ptycho_torch.config import Experiment, ModelSettings
from ptycho_torch.models.checkpoint import TrainedNetwork
from ptycho_torch.networks.build import build_network
from ptycho_torch.training.build import build_module

SMALL = pt.SimulationSettings(object_px=64, patch_px=32, step_px=6, probe_diameter_px=12, photons=1e6)


@pytest.fixture(scope="module")
def scan_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    pt.write_scan(pt.simulate_scan(SMALL), path)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network whose polish was set to 4 epochs."""
    path = tmp_path_factory.mktemp("network") / "last.ckpt"
    experiment = Experiment(model=ModelSettings(width=4, depth=2), refine=pt.RefineSettings(epochs=4))
    module: Any = build_module(
        experiment, [np.ones((1, 32, 32), np.complex64)], [1e6], [np.ones((32, 32), bool)], main_steps=1
    )
    torch.save({"state_dict": module.state_dict(), "ptycho_torch": module.record, "global_step": 0}, path)
    return path


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def shown(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The settings that a command prints."""
    assert main([*map(str, words), "--print_config"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "options", "changed"),
    [
        ("simulate", ["--photons", "1e3", "--path", "spiral"], {"simulation": {"photons": 1e3, "path": "spiral"}}),
        ("refine", ["--max_epochs", "7", "--transpose"], {"refine": {"epochs": 7}, "data": {"transpose": True}}),
        (
            "train",
            ["--gradient_clip", "none", "--epochs", "3", "--probe_modes", "2", "--width", "8"],
            {"training": {"gradient_clip": None, "epochs": 3}, "refine": {"probe_modes": 2}, "model": {"width": 8}},
        ),
    ],
)
def test_printed_settings_are_read_back(
    command: str, options: list[str], changed: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """[WF-9.1]"""
    text = shown(capsys, command, *options)
    found = yaml.safe_load(text)
    for section, values in changed.items():
        assert found[section] | values == found[section]
    assert shown(capsys, command, "--config", written(tmp_path / "all.yaml", text)) == text


def test_options_override_the_file_and_the_file_overrides_the_network(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """[WF-9.2]"""
    file = written(tmp_path / "some.yaml", "refine: {seed: 5, batches: 9}\ninference: {control: false}\ndata:\n")
    words = ("infer", "--checkpoint", checkpoint, "--config", file, "--polish_batches", "8", "--control")
    found = yaml.safe_load(shown(capsys, *words))
    assert (found["refine"]["epochs"], found["refine"]["seed"], found["refine"]["batches"]) == (4, 5, 8)
    assert found["inference"]["control"] is True


def test_a_run_is_done_with_the_settings_of_the_file(scan_path: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "run.yaml", "refine:\n  epochs: 2\n  probe_rate: 1e-2\ndata: {pixel_m: 2e-8}\n")
    output = tmp_path / "out"
    words = ["refine", "--data", scan_path, "--output_dir", output, "--config", file, "--quiet"]
    assert main([*map(str, words)]) == 0
    settings = json.loads((output / "run.json").read_text())["settings"]
    assert (settings["refine"]["epochs"], settings["refine"]["probe_rate"]) == (2, 0.01)
    assert float(np.load(output / "object.npz")["pixel_m"]) == 2e-8


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("refine: {epochs: 0}", "refine.epochs is 0; it must be at least 1"),
        ("refine: {epochs: '3'}", "refine.epochs is '3'; it must be of type int"),
        ("refine: {epochs: yes}", "refine.epochs is True; it must be of type int"),
        ("refine: {learning_rate: .nan}", "refine.learning_rate is nan; it must be a finite number"),
        ("model: {network: [unet]}", "model.network is ['unet']; it must be one of unet"),
        (f"refine: {{epochs: 0x{'f' * 50_000}}}", "refine.epochs is a number of thousands of digits; it must be"),
        ("refine: {epoch: 3}", "refine has no setting 'epoch'; it has method, epochs"),
        ("refine: {1: 3}", "refine has no setting 1; it has method"),
        ("polish: {epochs: 3}", "'polish' is not a section; the sections are data, simulation, pretraining, model"),
        ("refine: 3", "refine must be a mapping"),
        ("- refine", "must be a mapping of sections"),
        ("refine: {seed: 1, seed: 2}", "line 1, 'seed' occurs twice"),
        ("refine: &one {seed: 1}\ndata: *one", "line 2, references are unsupported"),
        ("? [refine]\n: {seed: 1}", "line 1, a key is not a string"),
        ("refine: !!python/object/apply:os.getcwd []", "line 1, could not determine a constructor"),
        ("refine: {", "line 1, "),
        (DEEP, "is not a readable YAML file"),
        ("\0", "is not a readable YAML file"),
        ("#" * 2**20 + "\n", "is larger than 1 MiB"),
        (None, "the file does not exist"),
    ],
)
def test_a_file_of_settings_that_cannot_be_used_is_told(
    text: str | None, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """[WF-9.3]"""
    file = tmp_path / "wrong.yaml"
    if text is not None:
        written(file, text)
    assert main(["refine", "--data", "scan.npz", "--config", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ptycho-torch refine: {file}: {complaint}")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["refine", "--epochs", "0"], "--epochs is 0; it must be at least 1"),
        (["refine", "--max-epochs", "0"], "--max_epochs is 0; it must be at least 1"),
        (["infer", "--polish_epochs", "0"], "--polish_epochs is 0; it must be at least 1"),
        (["simulate", "--object_px", "32"], "--object_px is 32; with patterns of 64 px"),
        (["refine"], "--data is missing"),
        (["train", "--device", "tpu", "--data", "x"], "argument --device: device is 'tpu'"),
    ],
)
def test_an_error_names_the_option_that_was_typed(
    words: list[str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """[WF-9.3]"""
    monkeypatch.chdir(tmp_path)
    try:
        code = main(words)
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert (code, f"ptycho-torch {words[0]}: {complaint}" in capsys.readouterr().err) == (2, True)
    assert not list(tmp_path.iterdir())


def test_an_error_deep_inside_names_the_option_or_the_key(
    scan_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path / "deep.yaml", "model: {depth: 6}")
    for options, name in ((["--depth", "6"], "--depth"), (["--config", str(file)], f"{file}: model.depth")):
        assert main(["train", "--data", str(scan_path), "--output_dir", str(tmp_path / "o"), "--quiet", *options]) == 2
        assert f"train: {name} is 6; patterns of 32 px cannot be halved" in capsys.readouterr().err


def test_a_setting_that_does_nothing_is_named_as_it_was_given(scan_path: Path, tmp_path: Path) -> None:
    """[WF-9.4]"""
    file = written(tmp_path / "idle.yaml", "refine: {learning_rate: 0.2}\nmodel: {width: 8}")
    words = ["refine", "--data", scan_path, "--output_dir", tmp_path / "o", "--config", file, "--epochs", "6"]
    options = ["--method", "least_squares", "--total_variation", "7", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "ptycho_torch", *map(str, words), *options], capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines() == [
        f"{file}: section model has no effect on refine",
        f"{file}: refine.learning_rate is 0.2 and has no effect unless --method is poisson",
        "--total_variation is 7.0 and has no effect unless --method is poisson",
    ]


def idle_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "ptycho_torch.config.fields"]


def test_python_is_told_of_settings_that_do_nothing_too(scan_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (scan,) = pt.read_scans(scan_path)
    # at this dose auto stands for least squares
    pt.refine_scan(scan, pt.RefineSettings(epochs=1, total_variation=7, probe_start=1, probe_rate=0.3), device="cpu")
    assert idle_warnings(caplog) == [
        "RefineSettings.probe_rate is 0.3 and has no effect unless RefineSettings.probe_start is below 1",
        "RefineSettings.total_variation is 7.0 and has no effect unless RefineSettings.method is poisson",
    ]


def test_a_polish_that_is_left_out_makes_its_settings_idle(scan_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (scan,) = pt.read_scans(scan_path)
    experiment = Experiment(model=ModelSettings(width=4, depth=2))
    assert scan.probe is not None
    network = TrainedNetwork(
        build_network(experiment, 32), experiment, 32, scan.probe[None], (1e6,), scan.good_pixels[None], 0
    )
    pt.reconstruct_scan(
        network,
        scan,
        inference=pt.InferenceSettings(polish=False, control=False),
        polish=pt.RefineSettings(epochs=3),
        device="cpu",
    )
    assert idle_warnings(caplog) == [
        "InferenceSettings.control is False and has no effect unless InferenceSettings.polish is True",
        "RefineSettings.epochs is 3 and has no effect unless InferenceSettings.polish is True",
    ]


def test_training_names_idle_settings_and_keeps_quiet_otherwise(
    scan_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["train", "--data", scan_path, "--output_dir", tmp_path / "run", "--device", "cpu", "--quiet"]
    small = ["--width", "4", "--depth", "1", "--steps", "1", "--bootstrap_epochs", "1", "--epochs", "3"]
    assert main([*map(str, words), *small, "--phase_penalty_weight", "2"]) == 0
    assert idle_warnings(caplog) == [
        "TrainingSettings.epochs is 3 and has no effect unless TrainingSettings.steps is not set",
        "TrainingSettings.phase_penalty_weight is 2.0 and has no effect unless TrainingSettings.phase_penalty "
        "is total_variation or mean_deviation",
    ]


def test_the_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert pt.__version__ == project["version"]
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert (stop.value.code, capsys.readouterr().out) == (0, f"ptycho-torch {project['version']}\n")


REFUSE = """
import json, sys
from pathlib import Path
from ptycho_torch.cli.main import main
for words in json.load(sys.stdin):
    assert main(words) == 2, words
    assert not {"torch", "lightning"} & set(sys.modules), words
"""


def test_a_file_that_cannot_be_used_is_refused_before_torch_is_loaded(
    scan_path: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """[WF-8.5]"""
    used, output, cut, changed = (tmp_path / name for name in ("used", "o", "cut.npz", "changed.ckpt"))
    used.mkdir()
    (used / "precious.txt").touch()
    cut.write_bytes(scan_path.read_bytes()[:-500])
    keys, unlit, foreign = (tmp_path / name for name in ("keys.npz", "unlit.npz", "foreign.ckpt"))
    np.savez(keys, patterns=np.ones((4, 16, 16)))
    with np.load(scan_path) as stored:
        np.savez(unlit, **{name: value for name, value in stored.items() if name != "probeGuess"})
    content = bytearray(checkpoint.read_bytes())
    with zipfile.ZipFile(checkpoint) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    content[largest.header_offset + 200] ^= 1
    changed.write_bytes(content)
    torch.save({"state_dict": {}}, foreign)
    scan = str(scan_path)
    cases = [
        *((command, "--data", str(path)) for command in ("refine", "train") for path in (cut, keys, tmp_path / "no")),
        ("train", "--data", str(unlit)),
        *(("infer", "--data", scan, "--checkpoint", str(path)) for path in (changed, foreign, cut, tmp_path / "no")),
        ("infer", "--data", scan, "--model_path", str(cut)),
        ("infer", "--data", str(keys), "--checkpoint", str(checkpoint)),
        ("infer", "--data", scan),
        ("train", "--data", scan, "--resume"),
        ("train", "--data", scan, "--probe", str(tmp_path / "no")),
        ("simulate", "--output", scan),
        ("simulate", "--output", f"{scan}/below.npz"),
        ("refine", "--data", scan, "--config", str(tmp_path / "no")),
    ]
    words = [[*case, *(["--output_dir", str(output)] if case[0] != "simulate" else [])] for case in cases]
    in_use = [["--data", scan], ["--data", scan, "--checkpoint", str(checkpoint)], []]
    for command, given in zip(("refine", "infer", "demo"), in_use, strict=True):
        words.append([command, *given, "--output_dir", str(used)])
    before = sorted(tmp_path.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", REFUSE], input=json.dumps(words), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("ptycho-torch ")]
    assert len(errors) == len(words)
    assert sorted(tmp_path.rglob("*")) == before
