from __future__ import annotations

import csv
import logging
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightning.fabric.utilities import rank_zero_only
from matplotlib import image

import ptycho_torch as pt
from ptycho_torch.config import Experiment, ModelSettings, TrackingSettings, TrainingSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ConfigError
from ptycho_torch.runtime.background_logger import BackgroundLogger, Picture
from ptycho_torch.runtime.trackers import choose_trackers

SUPPORT = Path(__file__).parents[2] / "support"


def train(scan: Scan, folder: Path, **tracking: Any) -> None:
    experiment = Experiment(
        model=ModelSettings(width=4, depth=1),
        training=TrainingSettings(steps=3, group_size=4, bootstrap_epochs=0, groups_per_epoch=2),
        tracking=TrackingSettings(**tracking),
    )
    pt.train_network([scan], folder, experiment, device="cpu")


def read_csv(folder: Path) -> list[float]:
    with (folder / "logs" / "metrics.csv").open(encoding="utf-8") as file:
        return [float(row["train_loss_step"]) for row in csv.DictReader(file) if row["train_loss_step"]]


@pytest.mark.parametrize("uri", ["", "memory"])
def test_nowhere_means_no_tracker(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """[WF-5.6]"""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert choose_trackers(TrackingSettings()) == ()


def test_mlflow_that_is_disabled_cannot_be_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"tracker is wandb\+mlflow, but MLflow is disabled"):
        choose_trackers(TrackingSettings(tracker="wandb+mlflow"), mlflow=False)


@pytest.mark.parametrize("tracker", ["", "comet", "csv,wandb", "wandb+", "mlflow+mlflow-x"])
def test_an_unknown_tracker_is_refused(tracker: str) -> None:
    with pytest.raises(ConfigError, match="must be one of csv, tensorboard, mlflow, wandb, or several joined by"):
        TrackingSettings(tracker=tracker)


@pytest.mark.parametrize("tracker", ["tensorboard", "mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_read(tracker: str, tmp_path: Path) -> None:
    code = (
        f"import absent; absent.hide({tracker!r}); from ptycho_torch.cli.main import main; "
        f"raise SystemExit(main(['train', '--data', 'missing.npz', '--output_dir', 'run', '--tracker', {tracker!r}]))"
    )
    arguments = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SUPPORT)!r}); {code}"]
    finished = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert f"--tracker {tracker} needs {tracker}, which is not installed" in finished.stderr
    assert "ptycho-torch[track]" in finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_place_without_mlflow_is_told(tmp_path: Path) -> None:
    code = (
        "import absent; absent.hide('mlflow'); from ptycho_torch.config import TrackingSettings; "
        "from ptycho_torch.runtime.trackers import choose_trackers; assert choose_trackers(TrackingSettings()) == ()"
    )
    arguments = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SUPPORT)!r}); {code}"]
    environment = {"MLFLOW_TRACKING_URI": "sqlite:///runs.db", "PYTHONPATH": str(Path(pt.__file__).parents[1])}
    finished = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "pip install 'ptycho-torch[track]'" in finished.stderr


@pytest.mark.parametrize(("tracking", "steps"), [({"picture_every_epochs": 2}, (2, 3)), ({}, ())])
def test_pictures_beside_the_csv_file_are_made_when_asked_for(
    tracking: dict[str, int], steps: tuple[int, ...], small_scan: Scan, tmp_path: Path
) -> None:
    train(small_scan, tmp_path / "run", **tracking)
    found = sorted((tmp_path / "run" / "pictures").glob("*"))
    assert [path.name for path in found] == [f"step-{step:08d}.png" for step in steps]
    for path in found:
        pixels = image.imread(path)
        # amplitude and phase side by side, each with contrast and unlike the other
        amplitude, phase = np.split(pixels[..., 0], 2, axis=1)
        assert min(amplitude.std(), phase.std()) > 0.05
        assert np.abs(amplitude - phase).mean() > 0.01
    assert len(read_csv(tmp_path / "run")) == 3


def test_pictures_change_nothing_in_the_training(small_scan: Scan, tmp_path: Path) -> None:
    train(small_scan, tmp_path / "plain")
    train(small_scan, tmp_path / "pictured", picture_every_epochs=1)
    assert read_csv(tmp_path / "plain") == read_csv(tmp_path / "pictured")


def test_a_server_that_is_down_does_not_stop_a_training(
    small_scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with caplog.at_level(logging.WARNING):
        train(small_scan, tmp_path / "run", tracker="mlflow", mlflow_uri="http://127.0.0.1:9", picture_every_epochs=1)
    assert len(read_csv(tmp_path / "run")) == 3
    assert len(list((tmp_path / "run" / "pictures").iterdir())) == 3
    assert caplog.text.count("tracker mlflow failed") == 1
    assert caplog.text.count("training goes on without it") == 1


@dataclass
class Fragile:
    """A tracker that keeps what it gets, and does what `on` says for one of its methods."""

    on: dict[str, Any] = field(default_factory=dict)
    seen: list[Any] = field(default_factory=list)
    name: str = "fragile"

    def open(self) -> Fragile:
        return self._meet("open") or self

    def log_metrics(self, metrics: Any, step: Any) -> None:
        self._meet(f"metrics {step}")

    def log_picture(self, logger: Any, picture: Picture) -> None:
        self._meet(f"picture {picture.step}")

    def close(self, logger: Any, status: str) -> None:
        self._meet(f"close {status}")

    def _meet(self, what: str) -> Any:
        self.seen.append(what)
        return self.on.get(what, lambda: None)()


def fail() -> None:
    raise RuntimeError("the disk of the tracker\nis full")


def leave() -> None:
    raise SystemExit(1)


@pytest.mark.parametrize(
    ("on", "seen"),
    [
        ({}, ["open", "metrics 1", "metrics 2", "picture 2", "close success"]),
        ({"open": fail}, ["open"]),
        ({"metrics 1": fail}, ["open", "metrics 1"]),
        ({"metrics 2": leave}, ["open", "metrics 1", "metrics 2"]),
        ({"picture 2": fail}, ["open", "metrics 1", "metrics 2", "picture 2"]),
        ({"close success": fail}, ["open", "metrics 1", "metrics 2", "picture 2", "close success"]),
    ],
)
def test_a_tracker_that_raises_is_called_no_more(
    on: dict[str, Any], seen: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    tracker = Fragile(on)
    logger = BackgroundLogger(tracker)
    with caplog.at_level(logging.WARNING):
        for step in (1, 2):
            logger.log_metrics({"loss": 1.0}, step)
        logger.log_picture(Picture(np.zeros((2, 2, 3), np.uint8), Path("picture.png"), 2))
        logger.finalize("success")
        logger.finalize("success")
    assert tracker.seen == seen
    assert len(caplog.records) == (1 if on else 0)
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_a_tracker_that_hangs_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    released = threading.Event()
    tracker = Fragile({"metrics 1": lambda: released.wait(60)})
    logger = BackgroundLogger(tracker, patience_s=0.1)
    with caplog.at_level(logging.WARNING):
        for step in range(1, 20_000):
            logger.log_metrics({"loss": 1.0}, step)
        logger.finalize("success")
    released.set()
    assert tracker.seen == ["open", "metrics 1"]
    assert [record.getMessage() for record in caplog.records] == [
        "tracker fragile is too slow: 10000 values wait for it; training goes on without it"
    ]


def test_the_end_of_a_run_waits_no_longer_than_told(caplog: pytest.LogCaptureFixture) -> None:
    released = threading.Event()
    logger = BackgroundLogger(Fragile({"close failed": lambda: released.wait(60)}), patience_s=0.1)
    with caplog.at_level(logging.WARNING):
        logger.log_metrics({"loss": 1.0}, 1)
        logger.finalize("failed")
    released.set()
    assert "tracker fragile did not finish within 0.1 s" in caplog.text


def test_only_the_first_process_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Fragile()
    logger = BackgroundLogger(tracker)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger.log_metrics({"loss": 1.0}, 1)
    logger.log_hyperparams({"width": 4})
    logger.log_picture(Picture(np.zeros((2, 2, 3), np.uint8), Path("picture.png"), 1))
    logger.finalize("success")
    assert tracker.seen == []


def test_a_run_ends_by_itself_although_nobody_answers(tmp_path: Path) -> None:
    """A process must not wait at its exit for a tracker that hangs."""
    code = (
        "import time; from types import SimpleNamespace; "
        "from ptycho_torch.runtime.background_logger import BackgroundLogger; "
        "tracker = SimpleNamespace(name='slow', open=lambda: time.sleep(600)); "
        "logger = BackgroundLogger(tracker, patience_s=0.1); logger.log_metrics({}, 1); logger.finalize('success')"
    )
    environment = {"PYTHONPATH": str(Path(pt.__file__).parents[1])}
    arguments = [sys.executable, "-c", code]
    finished = subprocess.run(
        arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert "tracker slow did not finish" in finished.stderr
