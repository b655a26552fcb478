"""What is refused before anything is computed, and what a training that was interrupted goes on with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from rank_work import make_experiment, read_weights

from ptycho_torch.cli.main import main
from ptycho_torch.config import RefineSettings, TrainerSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ConfigError, OutputError
from ptycho_torch.formats.npz import write_scan
from ptycho_torch.runtime.device import find_rank_device
from ptycho_torch.runtime.ranks import Ranks, find_ranks
from ptycho_torch.storage.locking import lock_folder
from ptycho_torch.training.batches import BatchSampler
from ptycho_torch.training.fit import build_trainer, fit, prepare
from ptycho_torch.training.loop import run
from ptycho_torch.workflows.refinement import refine_scan
from ptycho_torch.workflows.training import train_network

CPU = torch.device("cpu")


def draw_parts(size: int, batch_size: int = 5, **options: Any) -> list[list[list[Any]]]:
    """The batches of each of several processes: 13 of 17 groups, whose patterns have 10 or 20 good pixels."""
    pixels = np.where(np.arange(17) % 2, 10, 20)
    return [
        list(BatchSampler(pixels, 13, batch_size, Ranks(rank, size, devices=size), seed=3, **options))
        for rank in range(size)
    ]


@pytest.mark.parametrize("size", [2, 3, 4, 7])
def test_processes_share_the_batches_of_one(size: int) -> None:
    (whole,), parts = draw_parts(1), draw_parts(size)
    assert len(whole) == 3
    for number, batch in enumerate(whole):
        shares = [[draw for draw in part[number] if draw.patch_share] for part in parts]
        assert sorted(draw.item for share in shares for draw in share) == sorted(draw.item for draw in batch)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        assert all(part[number] for part in parts)
        # the mean of the processes' weighted means is the mean over the batch
        values = {draw.item: float(draw.item) ** 1.5 for draw in batch}
        means = [share[0].patch_share * np.mean([values[draw.item] for draw in share]) for share in shares if share]
        assert sum(means) / size == pytest.approx(np.mean(list(values.values())))
        pixels = {draw.item: 10 if draw.item % 2 else 20 for draw in batch}
        means = [
            share[0].pixel_share
            * np.average([values[draw.item] for draw in share], weights=[pixels[draw.item] for draw in share])
            for share in shares
            if share
        ]
        wanted = np.average(list(values.values()), weights=[pixels[item] for item in values])
        assert sum(means) / size == pytest.approx(wanted)


def test_one_process_weighs_its_batches_by_exactly_one() -> None:
    for batch in draw_parts(1)[0]:
        assert {(draw.patch_share, draw.pixel_share) for draw in batch} == {(1.0, 1.0)}


def test_an_epoch_goes_on_where_it_was_interrupted() -> None:
    (whole,) = draw_parts(1, position=lambda: (2, 0))
    (rest,) = draw_parts(1, position=lambda: (2, 1))
    assert rest == whole[1:]
    assert whole != draw_parts(1)[0]


class _Interrupt(Callback):
    """Ends a training as the loss of its process would: after some batches, without any cleaning up."""

    def __init__(self, batches: int) -> None:
        self._batches = batches

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: object, **__: object) -> None:
        self._batches -= 1
        if not self._batches:
            raise ConnectionAbortedError


@pytest.fixture(scope="module")
def train(small_scan: Scan) -> Callable[..., NDArray[np.float32]]:
    """Weights after 7 steps of two batches each, five batches per epoch, with a checkpoint every second step."""

    def trained(folder: Path, interrupted_after: int | None = None) -> NDArray[np.float32]:
        experiment = make_experiment(7, checkpoint_steps=2).to_dict()
        experiment["training"] |= {"accumulate": 2, "groups_per_epoch": 10, "batch_size": 2, "schedule": "cosine"}
        asked = type(make_experiment()).from_dict(experiment)
        probes = [small_scan.require_probe()]
        resume = None
        if interrupted_after:
            data, module = prepare([small_scan], probes, asked, CPU)
            trainer = build_trainer(data, asked, folder, device=CPU, track=False, bar=False)
            trainer.callbacks.append(_Interrupt(interrupted_after))  # type: ignore[attr-defined]
            with pytest.raises(ConnectionAbortedError):
                run(trainer, module, data, folder / "checkpoints")
            resume = folder / "checkpoints" / "last.ckpt"
        result = fit([small_scan], probes, asked, folder, device=CPU, resume=resume, track=False)
        assert result.steps == 7
        weights = read_weights(result.last)
        return np.concatenate([value.ravel() for name, value in sorted(weights.items()) if name.startswith("gen")])

    return trained


# checkpoints lie within an epoch, at its end with the validation, and just after both
@pytest.mark.parametrize("batches", [4, 5, 7, 10, 11])
def test_an_interrupted_training_ends_as_if_it_had_not_been(
    train: Callable[..., NDArray[np.float32]], tmp_path: Path, batches: int
) -> None:
    np.testing.assert_allclose(train(tmp_path / "b", batches), train(tmp_path / "a"), atol=1e-6)


@pytest.mark.parametrize(
    ("variables", "settings", "message"),
    [
        ({}, {"nodes": 2}, "nodes is 2; torchrun or a scheduler must start"),
        (
            {"TORCHELASTIC_RUN_ID": "1", "RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "4"},
            {"devices": 2},
            "devices is 2 and nodes 1, but TorchElastic started 4",
        ),
        (
            {"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "4", "SLURM_JOB_NAME": "scan", "SLURM_PROCID": "0"},
            {"devices": 2},
            "devices is 2 and nodes 1, but SLURM started 4",
        ),
        ({"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "scan"}, {"devices": 2}, "--ntasks-per-node"),
    ],
)
def test_other_processes_than_asked_for_are_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], settings: dict[str, Any], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        find_ranks(TrainerSettings(**settings))


@pytest.mark.parametrize(
    ("variables", "settings", "wanted"),
    [
        ({}, {}, (0, 1, True)),
        ({}, {"devices": 3}, (0, 3, False)),
        # one device of a job with several tasks: each task works alone
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "3", "SLURM_JOB_NAME": "scan"}, {}, (0, 1, True)),
        ({"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "scan"}, {"devices": 2}, (0, 2, False)),
        (
            {"TORCHELASTIC_RUN_ID": "1", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"},
            {},
            (5, 8, True),
        ),
    ],
)
def test_the_place_of_a_process_comes_from_who_started_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], settings: dict[str, Any], wanted: tuple[int, int, bool]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = find_ranks(TrainerSettings(**settings))
    assert (found.rank, found.size, found.started) == wanted


def test_devices_that_are_not_there_are_refused() -> None:
    settings = TrainerSettings(accelerator="cuda", devices=2)
    with pytest.raises(ConfigError, match="no CUDA device is visible"):
        find_rank_device("auto", settings, find_ranks(settings))


def test_more_processes_than_groups_or_patterns_are_refused(small_scan: Scan, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"60 processes cannot share .* groups"):
        train_network([small_scan], tmp_path / "out", make_experiment(devices=60), device="cpu")
    with pytest.raises(ConfigError, match="60 processes cannot share 49 patterns"):
        refine_scan(small_scan, RefineSettings(), device="cpu", trainer=TrainerSettings(devices=60))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("trainer", "model", "message"),
    [
        ({"precision": "16-mixed"}, {}, "16-mixed, which processors do not compute with"),
        ({"gradient_checkpointing": True}, {"normalisation": "batch"}, "use group"),
        ({"devices": 2}, {"normalisation": "batch"}, "2 processes without GPUs cannot share"),
    ],
)
def test_hardware_that_cannot_train_the_network_is_refused(
    small_scan: Scan, tmp_path: Path, trainer: dict[str, Any], model: dict[str, Any], message: str
) -> None:
    experiment = make_experiment(**trainer).to_dict()
    experiment["model"] |= model
    with pytest.raises(ConfigError, match=message):
        train_network([small_scan], tmp_path / "out", type(make_experiment()).from_dict(experiment), device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_refused(small_scan: Scan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scan(small_scan, tmp_path / "scan.npz")
    folder = tmp_path / "out"
    words = [f"--data={tmp_path / 'scan.npz'}", f"--output_dir={folder}", "--quiet", "--overwrite"]
    with lock_folder(folder):
        (folder / "object.npz").write_text("of the other run")
        (folder / "run.json").write_text("{}")
        for command in ("refine", "train"):
            assert main([command, *words]) == 2
            assert capsys.readouterr().err.count("another run writes to it") == 1
        with pytest.raises(OutputError, match="another run"), lock_folder(folder):
            pass
    assert sorted(path.name for path in folder.iterdir()) == ["object.npz", "run.json"]
    assert main(["refine", *words, "--epochs=1", "--device=cpu"]) in (0, 3)
    assert not list(folder.glob(".lock"))


def test_a_later_process_of_a_finished_run_does_not_wait_for_the_first(tmp_path: Path, small_scan: Scan) -> None:
    write_scan(small_scan, tmp_path / "scan.npz")
    words = [f"--data={tmp_path}/scan.npz", "--epochs=1", f"--output_dir={tmp_path}/out", "--device=cpu", "--quiet"]
    assert main(["refine", *words]) in (0, 3)
    place = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "run"}
    environment = {**os.environ, **place, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}
    command = [sys.executable, "-m", "ptycho_torch", "refine", *words, "--devices=2", "--resume"]
    assert subprocess.run(command, env=environment, timeout=60, check=False).returncode in (0, 3)
