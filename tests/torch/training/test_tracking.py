from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from lightning.pytorch.loggers import MLFlowLogger

from ptycho_torch.cli.main import main
from ptycho_torch.runtime.tracking import make_mlflow_logger

INSTALLED = importlib.util.find_spec("mlflow") is not None
TRAIN = ["--steps", "2", "--width", "4", "--depth", "2", "--bootstrap_epochs", "1", "--device", "cpu", "--quiet"]


@pytest.mark.parametrize("uri", ["", "memory"])
def test_nowhere_means_no_logger(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """[WF-5.6]"""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert make_mlflow_logger("runs") is None


@pytest.mark.skipif(INSTALLED, reason="MLflow is installed here")
def test_a_place_without_mlflow_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'runs.db'}")
    assert make_mlflow_logger("runs") is None
    assert "pip install 'ptycho-torch[track]'" in caplog.text


@pytest.mark.track
@pytest.mark.skipif(not INSTALLED, reason="MLflow is not installed here; `nox -s track` brings it")
@pytest.mark.parametrize("disabled", [False, True])
def test_a_run_is_logged_unless_disabled(disabled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    database = tmp_path / "runs.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    small = ["--object_px", "64", "--patch_px", "32", "--step_px", "6", "--probe_diameter_px", "12"]
    assert main(["simulate", "--output", "scan.npz", "--quiet", *small]) == 0
    extra = ["--disable_mlflow"] if disabled else []
    assert main(["train", "--data", "scan.npz", "--output_dir", "run", *TRAIN, *extra]) == 0
    assert database.exists() is not disabled
    if not disabled:
        logger = make_mlflow_logger("ptycho_torch")
        assert isinstance(logger, MLFlowLogger)
        runs = logger.experiment.search_runs([logger.experiment.get_experiment_by_name("ptycho_torch").experiment_id])
        # asking starts a run of its own
        finished = [run for run in runs if run.info.status == "FINISHED"]
        assert len(finished) == 1
        assert finished[0].data.metrics["train_loss_step"] > 0
