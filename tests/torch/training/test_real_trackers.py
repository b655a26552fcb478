"""Trainings that are logged to the real libraries, without servers."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from wandb_files import read_history

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
    [offline] = (run / "wandb").glob("offline-run-*")
    [path] = offline.glob("*.wandb")
    logged, exits, _ = read_history(path, "train_loss_step")
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
