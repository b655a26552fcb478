"""Trainings that are logged to the real libraries, without servers."""

from __future__ import annotations

import csv
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

import ptycho_torch as pt
from ptycho_torch.config import Experiment, ModelSettings, TrackingSettings, TrainingSettings
from ptycho_torch.data.scan import Scan

EXPERIMENT = Experiment(
    model=ModelSettings(width=4, depth=1),
    training=TrainingSettings(steps=3, group_size=4, bootstrap_epochs=0, groups_per_epoch=2),
    tracking=TrackingSettings(tracker="tensorboard+mlflow+wandb", project="siemens"),
)


@pytest.fixture(scope="module")
def run(small_scan: Scan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a training of three steps, each an epoch."""
    folder = tmp_path_factory.mktemp("tracked") / "run"
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("MLFLOW_TRACKING_URI")
        pt.train_network([small_scan], folder, EXPERIMENT, device="cpu")
        yield folder


def read_losses(folder: Path) -> list[float]:
    with (folder / "logs" / "metrics.csv").open(encoding="utf-8") as file:
        return [float(row["train_loss_step"]) for row in csv.DictReader(file) if row["train_loss_step"]]


def read_records(content: bytes) -> Iterator[bytes]:
    """The records of a run file of W&B, which has the format of LevelDB's log after a header of 7 bytes."""
    position, parts = 7, b""
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        length, kind = struct.unpack("<HB", content[position + 4 : position + 7])
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield parts
            parts = b""


def find_runs(database: Path, project: str) -> list[Run]:
    client = MlflowClient(f"sqlite:///{database}")
    experiment = client.get_experiment_by_name(project)
    assert experiment
    return list(client.search_runs([experiment.experiment_id]))


def test_tensorboard_has_losses_and_pictures(run: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    logged = [event.value for event in events.Scalars("train_loss_step")]
    assert logged == pytest.approx(read_losses(run), rel=1e-5)
    assert [event.step for event in events.Images("reconstruction")] == [1, 2, 3]


def test_mlflow_has_losses_settings_and_pictures(run: Path) -> None:
    [found] = find_runs(run.parent / "mlflow.db", "siemens")
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "run"
    assert found.data.params["model/width"] == "4"
    client = MlflowClient(f"sqlite:///{run.parent / 'mlflow.db'}")
    history = [metric.value for metric in client.get_metric_history(found.info.run_id, "train_loss_step")]
    assert history == pytest.approx(read_losses(run), rel=1e-5)
    pictures = [file.path for file in client.list_artifacts(found.info.run_id, "images")]
    assert sum(path.endswith(".png") for path in pictures) == 3


def test_wandb_has_losses_and_pictures_in_files(run: Path) -> None:
    proto = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    [offline] = (run / "wandb").glob("offline-run-*")
    [path] = offline.glob("*.wandb")
    logged, exits = [], []
    for data in read_records(path.read_bytes()):
        record = proto.Record.FromString(data)
        values = {item.key or ".".join(item.nested_key): item.value_json for item in record.history.item}
        logged += [float(values["train_loss_step"])] if "train_loss_step" in values else []
        exits += [record.exit.exit_code] if record.HasField("exit") else []
    assert logged == pytest.approx(read_losses(run), rel=1e-5)
    assert exits == [0]
    assert len(list((offline / "files" / "media" / "images").glob("*.png"))) == 3


def test_runs_side_by_side_share_a_database(run: Path, small_scan: Scan) -> None:
    tracking = TrackingSettings(tracker="mlflow", project="siemens", picture_every_epochs=0)
    experiment = Experiment(model=EXPERIMENT.model, training=EXPERIMENT.training, tracking=tracking)
    pt.train_network([small_scan], run.parent / "other", experiment, device="cpu")
    assert sorted(one.info.run_name for one in find_runs(run.parent / "mlflow.db", "siemens")) == ["other", "run"]
    assert not (run.parent / "other" / "pictures").exists()
    assert "MLFLOW_TRACKING_URI" not in os.environ, "the next training of this process would be logged too"


@pytest.mark.parametrize("disabled", [False, True])
def test_the_environment_asks_for_mlflow_unless_it_is_disabled(
    disabled: bool, small_scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[WF-5.6]"""
    database = tmp_path / "runs.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    experiment = Experiment(
        model=ModelSettings(width=4, depth=1), training=TrainingSettings(steps=1, group_size=4, bootstrap_epochs=0)
    )
    pt.train_network([small_scan], tmp_path / "run", experiment, device="cpu", track=not disabled)
    assert database.exists() is not disabled
    if not disabled:
        [found] = find_runs(database, "ptycho_torch")
        assert found.info.status == "FINISHED"
        assert found.data.metrics["train_loss_step"] > 0
