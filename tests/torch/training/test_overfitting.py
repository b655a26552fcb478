"""A training ends when it predicts patterns that it does not see worse and worse, and returns to its best epoch."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ptycho_torch.config import Experiment, ModelSettings, TrainingSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.training.fit import TrainingResult, fit

SETTINGS = TrainingSettings(
    group_size=4,
    batch_size=2,
    warmup_steps=0,
    learning_rate=3e-3,
    schedule="constant",
    validation_share=0.5,
    patience=3,
)


def train(scan: Scan, folder: Path, settings: TrainingSettings) -> TrainingResult:
    assert scan.probe is not None
    experiment = Experiment(model=ModelSettings(width=8, depth=1), training=settings)
    return fit([scan], [scan.probe], experiment, folder, device=torch.device("cpu"), track=False)


def read_validation_losses(folder: Path) -> list[float]:
    with (folder / "logs" / "metrics.csv").open() as file:
        return [float(row["val_loss"]) for row in csv.DictReader(file) if row["val_loss"]]


@pytest.fixture(scope="module")
def noise(small_scan: Scan) -> Scan:
    """Patterns without anything in common but their noise, which a network can only learn by heart."""
    counts = np.random.default_rng(0).poisson(small_scan.counts.mean(axis=0) / 300, small_scan.counts.shape)
    return replace(small_scan, counts=counts.astype(np.float32), truth=None)


def test_training_stops_when_it_learns_noise(noise: Scan, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    result = train(noise, tmp_path, replace(SETTINGS, epochs=60))
    losses = read_validation_losses(tmp_path)
    assert result.overfitted
    assert len(losses) < 60
    assert losses.index(min(losses)) <= len(losses) - 1 - SETTINGS.patience
    assert "worse and worse" in caplog.text
    assert result.last.read_bytes() == result.best.read_bytes()


def test_training_that_still_learns_runs_to_its_end(small_scan: Scan, tmp_path: Path) -> None:
    result = train(small_scan, tmp_path, replace(SETTINGS, learning_rate=1e-3, epochs=12))
    assert not result.overfitted
    assert len(read_validation_losses(tmp_path)) == 12
