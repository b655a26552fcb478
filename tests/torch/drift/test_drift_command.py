from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ptycho_torch.cli.main import main
from ptycho_torch.config import Experiment, ModelSettings, SimulationSettings, TrainingSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.drift.features import measure_features
from ptycho_torch.formats.npz import write_scan
from ptycho_torch.jobs.queue import Queue
from ptycho_torch.models.checkpoint import load_network
from ptycho_torch.simulate.scan import simulate_scan
from ptycho_torch.workflows.training import train_network

JOB = "train --data other.npz --output_dir retrained-{time}"


def simulate(seed: int, **changed: Any) -> Scan:
    usual: dict[str, Any] = {"object_px": 96, "patch_px": 32, "probe": "gaussian", "probe_diameter_px": 12.0}
    return simulate_scan(SimulationSettings(seed=seed, **{**usual, "step_px": 6.0, "photons": 1e5, **changed}))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained network, the scans that it was trained on, and others."""
    folder = tmp_path_factory.mktemp("drift")
    scans = [simulate(seed) for seed in range(3)]
    experiment = Experiment(
        model=ModelSettings(width=8, depth=2), training=TrainingSettings(steps=60, batch_size=8, bootstrap_epochs=0)
    )
    train_network(scans, folder / "network", experiment, track=False)
    (folder / "scans").mkdir()
    for seed, scan in enumerate(scans):
        write_scan(scan, folder / "scans" / f"{seed}.npz")
    write_scan(simulate(11), folder / "same.npz")
    write_scan(simulate(12, photons=4e5), folder / "bright.npz")
    write_scan(simulate(13, probe="zone_plate"), folder / "other.npz")
    return folder


@pytest.fixture
def drift(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    monkeypatch.chdir(place)
    network = "--checkpoint=network/checkpoints/last.ckpt"

    def call(action: str, *words: str) -> tuple[int, str]:
        measured = ("--device=cpu", "--quiet", network) if action != "report" else ()
        code = main(["drift", action, *measured, *words])
        return code, capsys.readouterr().out

    if not Path("drift.json").exists():
        assert call("fit", "--data=scans")[0] == 0
    return call


def test_features_of_patterns_mean_what_they_say(place: Path) -> None:
    network, cpu = load_network(place / "network" / "checkpoints" / "last.ckpt"), torch.device("cpu")
    scan = simulate(11)
    clean = measure_features(network, scan, cpu)
    medians = {name: float(np.median(values)) for name, values in clean.values.items()}
    counts = np.asarray(scan.counts)
    assert medians["dose"] == pytest.approx(float(np.median(np.log10(counts.sum(axis=(1, 2))))), rel=1e-6)
    assert 0.9 < medians["probe"] <= 1.0
    assert all(len(values) == len(scan) for values in clean.values.values())
    # a wider pattern has a greater radius, a moved one is less like that of the probe
    row, column = np.ogrid[:32, :32]
    radius = np.hypot(row - 16, column - 16)
    expected = float(np.median((counts * radius).sum(axis=(1, 2)) / counts.sum(axis=(1, 2))))
    assert medians["radius"] == pytest.approx(expected, rel=1e-6)
    moved = measure_features(network, replace(scan, counts=np.roll(counts, 2, 1)), cpu)
    assert float(np.median(moved.values["probe"])) < medians["probe"] - 0.1
    assert moved.error > 1.5 * clean.error


def test_speckles_are_as_large_as_they_were_made(place: Path) -> None:
    network = load_network(place / "network" / "checkpoints" / "last.ckpt")
    scan, sizes = simulate(11), []
    for size_px in (1.0, 2.0):
        draw = np.random.default_rng(0).normal(size=(len(scan), 32, 32))
        frequency = np.fft.fftfreq(32)
        # white noise becomes noise with the correlation exp(-d²/s²)
        window = np.exp(-((np.pi * size_px) ** 2) * (frequency[:, None] ** 2 + frequency**2) / 2)
        field = np.fft.ifft2(np.fft.fft2(draw) * window).real
        counts = (10 + field / field.std()) ** 2
        values = measure_features(network, replace(scan, counts=counts.astype(np.float32)), torch.device("cpu")).values
        sizes.append(float(np.median(values["speckle"])))
    assert sizes == pytest.approx([1.0, 2.0], rel=0.2)


def test_scans_of_the_same_kind_pass_a_harmless_shift_is_named_and_one_that_matters_ends_with_4(
    drift: Callable[..., tuple[int, str]],
) -> None:
    code, text = drift("check", "--data=same.npz")
    assert (code, text.splitlines()[1].split()[1:3]) == (0, ["as", "before"])
    code, text = drift("check", "--data=bright.npz", "--json")
    found = json.loads(text)["scans"][0]
    assert (code, found["result"], found["features"]["dose"]["shifted"]) == (0, "harmless shift", True)
    assert found["growth"] < 0.2
    code, text = drift("check", "--data=other.npz")
    assert (code, text.splitlines()[1].split()[1]) == (4, "drift")
    assert drift("report", "--overwrite")[0] == 0
    assert Path("drift.png").read_bytes().startswith(b"\x89PNG")
    checks = json.loads(drift("report", "--json")[1])["checks"]
    assert [check["word"] for check in checks] == ["as before", "harmless shift", "drift"]


def test_a_retraining_is_added_once_and_only_if_the_drift_matters(
    drift: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    queue = tmp_path / "jobs.sqlite"
    words = (f"--queue={queue}", f"--add_job={JOB}", f"--history={tmp_path / 'history.jsonl'}")
    assert drift("check", "--data=bright.npz", *words)[0] == 0
    assert not queue.exists()
    assert "job 1: added" in drift("check", "--data=other.npz", *words)[1]
    assert "job 1: is waiting already" in drift("check", "--data=other.npz", *words)[1]
    assert [" ".join(job.words) for job in Queue(queue).list_jobs()] == [JOB]


def test_what_cannot_be_checked_is_said_in_one_line(
    drift: Callable[..., tuple[int, str]], place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, same = "--checkpoint=network/checkpoints/last.ckpt", "--data=same.npz"
    other = json.loads((place / "drift.json").read_text()) | {"network": "another"}
    (tmp_path / "other.json").write_text(json.dumps(other))
    cases = {
        ("check", network, same, f"--reference={tmp_path / 'none.json'}"): "the file does not exist",
        ("check", network, same, "--add_job=rm -rf scans"): "is not a command that a job can run",
        ("check", network, same, "--add_job=train 'open"): "No closing quotation",
        ("check", network, same, "--growth=-1"): "--growth is -1.0; it must be at least 0",
        ("check", network, same, f"--reference={tmp_path / 'other.json'}"): "is the reference of another network",
        ("fit", network, same): "drift.json: already exists",
        ("report", f"--history={place / 'drift.json'}"): "is not a readable history of drift",
    }
    for words, complaint in cases.items():
        quiet = () if words[0] == "report" else ("--quiet",)
        assert main(["drift", *words, *quiet]) == 2
        error = capsys.readouterr().err
        assert complaint in error
        assert error.count("\n") == 1
