"""Trainings from files to files: start, interruption, early end, log, export, and each of the five losses."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy_physics
import pytest
import safetensors.torch
import torch
from rank_work import read_weights
from wandb_files import read_history

import ptycho_torch as pt
from ptycho_torch.cli.main import main
from ptycho_torch.config import Experiment, ModelSettings, RefineSettings, TrainingSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import PtychoError
from ptycho_torch.export.card import make_card
from ptycho_torch.export.read import check_export, open_export
from ptycho_torch.export.write import export_network
from ptycho_torch.models.archive import open_bundle
from ptycho_torch.models.checkpoint import TrainedNetwork, load_network
from ptycho_torch.training.fit import prepare
from ptycho_torch.workflows.reconstruction import reconstruct_scan

Run = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ("--group_size=4", "--width=4", "--depth=1", "--bootstrap_epochs=2", "--validation_share=0.2")
MACHINE = ("--device=cpu", "--threads=1", "--quiet")


def read_log(folder: Path, column: str) -> list[float]:
    with (folder / "logs" / "metrics.csv").open(encoding="utf-8") as file:
        return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]


def test_basic_training_workflow(scan_files: list[Path], integration_tmp_dir: Path) -> None:
    """From files of two scans to a network that reconstructs a third one."""
    folder, result = integration_tmp_dir / "trained", integration_tmp_dir / "object"
    data = [f"--data={scan_files[0].parent}"]
    assert main(["train", *data, f"--output_dir={folder}", "--epochs=6", *SMALL, *MACHINE]) == 0
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "finished"
    assert [Path(entry["path"]).name for entry in record["inputs"]] == [path.name for path in scan_files]
    # three scans of 49 patterns in groups of four, some of them for validation
    losses = read_log(folder, "train_loss_step")
    assert len(losses) == record["results"]["steps"] > 60
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10]), "the loss does not fall"
    assert open_bundle(folder).steps == len(losses)
    arguments = ["infer", f"--data={scan_files[2]}", f"--model_path={folder}", f"--output_dir={result}", "--no_polish"]
    assert main([*arguments, *MACHINE]) in (0, 3)
    assert np.isfinite(pt.read_result(result).pixels).all()


@pytest.mark.slow
def test_training_with_checkpointing(scan_file: Path, integration_tmp_dir: Path, run_command: Run) -> None:
    """A training that is killed and resumed ends with the weights of one that was not, bit for bit."""
    words = ("train", "--data", scan_file, "--steps=40", "--checkpoint_steps=1", *SMALL, *MACHINE)
    whole, parts = integration_tmp_dir / "whole", integration_tmp_dir / "parts"
    assert main([*map(str, words), f"--output_dir={whole}"]) == 0
    command = [sys.executable, "-m", "ptycho_torch", *map(str, words), f"--output_dir={parts}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not (parts / "checkpoints" / "last.ckpt").exists():
            assert process.poll() is None, "the training ended before a checkpoint was written"
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    left = load_network(parts / "checkpoints" / "last.ckpt").steps
    assert 0 < left < 40, "the training was not killed in the middle"
    assert run_command(*words, "--output_dir", parts, "--resume").returncode == 0
    first, second = (read_weights(folder / "checkpoints" / "last.ckpt") for folder in (whole, parts))
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)
    # the losses of both parts together are those of the whole
    after = [row for folder in sorted(parts.glob("logs-*")) for row in read_losses(folder)]
    assert after == read_losses(whole / "logs")[left:]


def read_losses(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return [float(row["train_loss_step"]) for row in csv.DictReader(file) if row["train_loss_step"]]


@pytest.mark.slow
def test_training_with_early_stopping(make_scan: Callable[..., Scan], integration_tmp_dir: Path) -> None:
    """A large network on few noisy patterns fits their noise: training ends, and returns to its best epoch."""
    scan = make_scan(photons=300.0)
    experiment = Experiment(
        model=ModelSettings(width=16, depth=2),
        training=TrainingSettings(
            epochs=400,
            group_size=4,
            batch_size=2,
            learning_rate=3e-3,
            warmup_steps=0,
            schedule="constant",
            validation_share=0.5,
            patience=1,
            bootstrap_epochs=0,
        ),
    )
    result = pt.train_network([scan], integration_tmp_dir / "run", experiment, device="cpu", track=False)
    assert result.overfitted
    assert not result.out_of_time
    validations = read_log(integration_tmp_dir / "run", "val_loss")
    assert result.steps < 400 * 3
    assert validations[-1] > 1.01 * min(validations), "it ended although the validation loss did not rise"
    kept = load_network(result.last)
    assert kept.steps == load_network(result.best).steps < result.steps
    assert kept.steps == (np.argmin(validations) + 1) * result.steps / len(validations)


@pytest.mark.slow
def test_training_with_wandb_logging(scan_file: Path, integration_tmp_dir: Path, run_command: Run) -> None:
    """The real library, offline: the file that `wandb sync` would send has every loss and setting."""
    folder = integration_tmp_dir / "run"
    logged = ("--tracker=wandb", "--project=beamline", "--picture_every_epochs=1")
    words = ("train", "--data", scan_file, "--output_dir", folder, "--epochs=2", *SMALL, *logged, *MACHINE)
    # an address to which nothing can be sent
    finished = run_command(*words, env={**os.environ, "WANDB_BASE_URL": "http://127.0.0.1:9"})
    assert finished.returncode == 0, finished.stderr
    [offline] = (folder / "wandb").glob("offline-run-*")
    [path] = offline.glob("*.wandb")
    losses, exits, config = read_history(path, "train_loss_step")
    assert losses == pytest.approx(read_log(folder, "train_loss_step"), rel=1e-5)
    assert exits == [0]
    assert json.loads(config["training"])["group_size"] == 4
    assert len(list((offline / "files" / "media" / "images").glob("*.png"))) == 2


@pytest.fixture(scope="module")
def exported(trained_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "export"
    assert main(["export", str(trained_folder), f"--output={folder}", "--quiet"]) == 0
    return folder


def test_training_with_export_bundle(
    exported: Path, trained_folder: Path, trained_network: TrainedNetwork, tiny_scan: Scan, integration_tmp_dir: Path
) -> None:
    """Every form of an exported network is the network, and what was changed on the way is refused."""
    found = check_export(exported, run_program=True)
    assert max(found.values()) < 1e-5
    export = open_export(exported)
    # the same object, from weights that went through a file
    again, before = (
        reconstruct_scan(network, tiny_scan, device="cpu", polish=RefineSettings(epochs=1)).canvas.pixels
        for network in (export.network, trained_network)
    )
    np.testing.assert_array_equal(again, before)
    tensors = safetensors.torch.load_file(exported / "network.safetensors")
    with np.load(exported / "test_tensors.npz") as stored:
        assert stored["patches"].shape == stored["amplitude"].shape
        # the network's own answer, and no empty one
        inputs = [torch.from_numpy(stored[name]) for name in ("amplitude", "probe", "good")]
        np.testing.assert_array_equal(trained_network.generator(*inputs).detach().numpy(), stored["patches"])
        assert stored["patches"].std() > 1e-6
    for name, value in trained_network.generator.state_dict().items():
        assert torch.equal(tensors[f"generator.{name}"], value)
    card = json.loads((exported / "model_card.json").read_text())
    run = json.loads((trained_folder / "run.json").read_text())
    assert card["training"]["seed"] == 0
    assert card["metrics"]["validation_loss"] == run["results"]["validation_loss"]
    assert card["versions"]["trained_with"]["torch"] == run["versions"]["torch"]
    assert card["data"]["scans"][0]["photons_per_pattern"] == pytest.approx(tiny_scan.photons_per_pattern, rel=1e-3)
    text = (exported / "model_card.md").read_text()
    for figure in ("| seed | 0 |", f"{card['network']['weights']:,} weights", "| validation_loss |", "| torch |"):
        assert figure in text
    _check_refusals(exported, integration_tmp_dir)


def _check_refusals(exported: Path, folder: Path) -> None:
    whole = {path.name: path.read_bytes() for path in exported.iterdir()}
    for number, (name, content) in enumerate(whole.items()):
        damaged = folder / f"damaged-{number}"
        damaged.mkdir()
        for other, unchanged in whole.items():
            (damaged / other).write_bytes(unchanged)
        middle = len(content) // 2
        for change in (content[:middle], content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :], None):
            (damaged / name).unlink(missing_ok=True)
            if change is not None:
                (damaged / name).write_bytes(change)
            with pytest.raises(PtychoError) as refused:
                check_export(damaged)
            assert "\n" not in str(refused.value)
            assert str(damaged) in str(refused.value)


def test_export_is_written_whole_or_not_at_all(
    exported: Path, trained_network: TrainedNetwork, integration_tmp_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = integration_tmp_dir / "export"
    with pytest.raises(PtychoError, match="params"):
        export_network(trained_network, folder, params={"object": {1, 2}})
    assert not list(integration_tmp_dir.iterdir()), "an export that failed leaves files"
    export_network(trained_network, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main(["export", str(exported / "network.ckpt"), f"--output={folder}"]) == 2
    assert "already exists; name another folder or add --overwrite" in capsys.readouterr().err
    with pytest.raises(PtychoError):
        export_network(trained_network, folder, params={"object": {1, 2}}, overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    # the same network gives the same bytes, but for what the card says of another source
    assert main(["export", str(exported / "network.ckpt"), f"--output={folder}", "--overwrite", "--quiet"]) == 0
    for name in ("network.ckpt", "network.safetensors", "network.pt2", "test_tensors.npz"):
        assert (folder / name).read_bytes() == (exported / name).read_bytes(), name
    other = integration_tmp_dir / "mine"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    assert main(["export", str(exported / "network.ckpt"), f"--output={other}", "--overwrite"]) == 2
    assert "contains files but no manifest.json" in capsys.readouterr().err
    assert [path.name for path in other.iterdir()] == ["notes.txt"]
    assert main(["export", str(exported), "--check", "--run_program"]) == 0
    assert main(["export", str(other), "--check"]) == 2
    assert "is not an export" in capsys.readouterr().err


def test_checkpoint_for_inference_carries_nothing_of_the_training(
    tiny_scan: Scan, tiny_experiment: Experiment, scan_file: Path, integration_tmp_dir: Path
) -> None:
    """Every byte of what is handed on is searched for words that only the training knew, packed members included."""
    secret = "k7qz-secret"
    folder = integration_tmp_dir / f"{secret}-run"
    data = replace(tiny_experiment.data, positions=f"{secret}.txt", mask=f"/data/{secret}/mask.npy")
    tracking = replace(tiny_experiment.tracking, project=secret, tracker="csv")
    training = replace(tiny_experiment.training, epochs=1)
    experiment = replace(tiny_experiment, data=data, tracking=tracking, training=training)
    scan = replace(tiny_scan, name=secret)
    result = pt.train_network([scan], folder, experiment, device="cpu", inputs=[scan_file])
    exported = export_network(result.last, integration_tmp_dir / "export")
    words = [secret, str(integration_tmp_dir), os.uname().nodename, str(Path(pt.__file__).parent), "optimizer", "Adam"]
    handed_on = [folder / "wts.h5.zip", *exported.iterdir()]
    contents = {str(path): path.read_bytes() for path in handed_on}
    assert secret.encode() in result.last.read_bytes(), "the search finds nothing anywhere"
    for name, content in contents.items():
        for word in words:
            assert not find_text(content, word), f"{name} contains {word!r}"
    checkpoint = torch.load(exported / "network.ckpt", weights_only=True)
    assert set(checkpoint) == {"ptycho_torch", "state_dict", "global_step"}


def find_text(content: bytes, word: str) -> bool:
    """Whether bytes contain a word in one of the encodings of texts; archives here are stored, not compressed."""
    return any(word.encode(encoding) in content for encoding in ("utf-8", "utf-16-le", "utf-32-le"))


STRATEGIES: dict[str, dict[str, Any]] = {
    "poisson": {"loss": "poisson"},
    "amplitude_mae": {"loss": "amplitude_mae"},
    "anscombe": {"loss": "anscombe"},
    "supervised": {"target": "object"},
    "hybrid": {"target": "hybrid", "teacher_weight": 0.3, "loss": "anscombe"},
}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_multi_strategy_training(
    strategy: str, tiny_scan: Scan, trained_checkpoint: Path, integration_tmp_dir: Path
) -> None:
    """Each loss is the one that its name says, written out without torch, and falls when a network is trained by it."""
    chosen = STRATEGIES[strategy]
    if strategy == "hybrid":
        chosen = chosen | {"teacher": str(trained_checkpoint)}
    settings = TrainingSettings.from_dict(
        {
            "epochs": 8,
            "group_size": 4,
            "batch_size": 2,
            "bootstrap_epochs": 0,
            "warmup_steps": 0,
            "learning_rate": 3e-3,
            "validation_share": 0.2,
            "unmerged_weight": 1.0,
        }
        | chosen
    )
    experiment = Experiment(model=ModelSettings(width=8, depth=2), training=settings)
    data, module = prepare([tiny_scan], [tiny_scan.require_probe()], experiment, torch.device("cpu"))
    batch = module.add_labels(next(iter(data.train_dataloader())))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(2)
        for weight in module.generator.parameters():
            torch.nn.init.normal_(weight, std=0.05)
        patches = module(batch.counts, batch.scan_index).flatten(0, 1).numpy().astype(complex)
        found = float(module.compute_loss(batch))
    counts = batch.counts.flatten(0, 1).numpy().astype(float)
    labels = batch.labels.flatten(0, 1).numpy().astype(complex) if batch.labels.numel() else None
    shifts = batch.shifts_px.flatten(0, 1).numpy().astype(float)
    wanted = write_out_loss(settings, patches, labels, counts, shifts, tiny_scan.require_probe())
    assert found == pytest.approx(wanted, rel=2e-3)
    if strategy == "hybrid":
        assert labels is not None
        np.testing.assert_allclose(labels, ask_teacher(trained_checkpoint, counts, tiny_scan), atol=1e-5)
    result = pt.train_network([tiny_scan], integration_tmp_dir / "run", experiment, device="cpu", track=False)
    losses = read_log(integration_tmp_dir / "run", "train_loss_step")
    epoch = len(losses) // 8
    assert np.mean(losses[-epoch:]) < 0.9 * np.mean(losses[:epoch]), "the loss does not fall"
    assert load_network(result.last).experiment.training == settings


def write_out_loss(
    settings: TrainingSettings,
    patches: np.ndarray,
    labels: np.ndarray | None,
    counts: np.ndarray,
    shifts: np.ndarray,
    probe: np.ndarray,
) -> float:
    """The loss of unmerged patches, in float64, from the tests' own forward model."""
    light, good = (np.abs(probe) ** 2).sum(0), np.ones(counts.shape[1:], bool)

    def by_patterns() -> float:
        expected = np.array(
            [
                sum(np.abs(numpy_physics.far_field(patch * numpy_physics.shifted(mode, shift))) ** 2 for mode in probe)
                for patch, shift in zip(patches, shifts, strict=True)
            ]
        )
        return float(getattr(numpy_physics, NAMES[settings.loss])(np.maximum(expected, 1e-6), counts, good))

    def by_labels() -> float:
        assert labels is not None
        distances = []
        for patch, label in zip(patches, labels, strict=True):
            level = label * np.exp(-1j * np.angle((label * light).sum()))
            distances.append(np.average(np.abs(patch - level), weights=light))
        return float(np.mean(distances))

    if settings.target == "object":
        return by_labels()
    share = settings.teacher_weight if settings.target == "hybrid" else 0.0
    return (1 - share) * by_patterns() + (share * by_labels() if share else 0.0)


NAMES = {"poisson": "poisson_deviance", "amplitude_mae": "amplitude_mae", "anscombe": "anscombe"}


def ask_teacher(checkpoint: Path, counts: np.ndarray, scan: Scan) -> np.ndarray:
    """The patches of the teacher, asked alone."""
    amplitude = np.sqrt(counts) * counts.shape[-1] / np.sqrt(scan.photons_per_pattern)
    inputs: Sequence[Any] = (amplitude.astype(np.float32), scan.require_probe()[None], scan.good_pixels[None])
    amplitudes, probes, good = (torch.from_numpy(np.array(value)) for value in inputs)
    with torch.no_grad():
        answer: np.ndarray = load_network(checkpoint).generator(amplitudes, probes, good.float()).numpy()
    return answer


def test_hybrid_training_needs_a_teacher(
    tiny_scan: Scan, trained_checkpoint: Path, integration_tmp_dir: Path, make_scan: Callable[..., Scan]
) -> None:
    experiment = Experiment(training=TrainingSettings(target="hybrid", group_size=4))
    with pytest.raises(PtychoError, match="teacher is not set"):
        pt.train_network([tiny_scan], integration_tmp_dir / "run", experiment, device="cpu")
    named = replace(experiment, training=replace(experiment.training, teacher=str(trained_checkpoint)))
    larger = make_scan(patch_px=48, object_px=96)
    with pytest.raises(PtychoError, match=r"a network for patterns of 32 px; the scans have 48 px"):
        pt.train_network([larger], integration_tmp_dir / "run", named, device="cpu")
    assert not (integration_tmp_dir / "run").exists(), "a folder was made for a training that cannot begin"


def test_card_of_a_network_without_a_record_says_so(trained_network: TrainedNetwork) -> None:
    card = make_card(trained_network, metrics={"R": 0.1})
    assert card["data"]["files"] == []
    assert card["metrics"] == {"R": 0.1}
    assert card["versions"]["trained_with"] == {}
