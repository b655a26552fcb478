"""A training ends when it predicts patterns that it does not see worse and worse, and returns to its best epoch."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ptycho_torch.config import Experiment, ModelSettings, TrainingSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.training.fit import TrainingResult, fit
from ptycho_torch.training.overfitting import OverfittingWatch

SETTINGS = TrainingSettings(
    group_size=4,
    batch_size=2,
    warmup_steps=0,
    learning_rate=3e-3,
    schedule="constant",
    validation_share=0.5,
    patience=1,
)
BATCHES, PATIENCE, LEAST_STEPS = 20, 3, 5


class Given(lightning.LightningModule):
    """Validates with given losses, one an epoch and a little noise a batch; an epoch has one step."""

    def __init__(self, losses: Sequence[float]) -> None:
        super().__init__()
        self._losses = losses
        self._noise = torch.from_numpy(np.random.default_rng(0).normal(0, 1e-3, (len(losses), BATCHES)))
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch: Tensor, number: int) -> Tensor:
        return self.weight.square().sum()

    def validation_step(self, batch: Tensor, number: int) -> Tensor:
        return self._losses[self.current_epoch] + self._noise[self.current_epoch, number]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Numbers(Dataset[Tensor]):
    """So many numbers."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Tensor:
        return torch.ones(1)


FALLING = [1 / (1 + epoch) for epoch in range(10)]


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*:FutureWarning")
@pytest.mark.parametrize(
    ("after", "epochs"),
    [
        ([0.1 * 1.05**epoch for epoch in range(1, 11)], 15),  # patience is over before the steps are
        ([0.102, 0.11, 0.1, 0.11, 0.12, 0.1, 0.12, 0.11, 0.1, 0.12], 20),  # not in a row
        ([0.1] * 10, 20),  # it stands still
        ([0.105, 0.11, 0.12, 0.13, 0.09, 0.08, 0.07, 0.06, 0.05, 0.04], 20),  # it was too early to say
    ],
)
def test_only_a_lasting_rise_ends_a_training(after: Sequence[float], epochs: int, tmp_path: Path) -> None:
    watch = OverfittingWatch(PATIENCE, LEAST_STEPS)
    trainer = lightning.Trainer(
        max_epochs=20,
        callbacks=[watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        accelerator="cpu",
        default_root_dir=tmp_path,
    )
    trainer.fit(Given([*FALLING, *after]), DataLoader(Numbers(1)), DataLoader(Numbers(BATCHES)))
    assert trainer.current_epoch == epochs
    assert watch.stopped == (epochs < 20)


def train(scan: Scan, folder: Path, settings: TrainingSettings) -> TrainingResult:
    assert scan.probe is not None
    experiment = Experiment(model=ModelSettings(width=8, depth=1), training=settings)
    return fit([scan], [scan.probe], experiment, folder, device=torch.device("cpu"), track=False)


def read_validation_losses(folder: Path) -> list[float]:
    with (folder / "logs" / "metrics.csv").open() as file:
        return [float(row["val_loss"]) for row in csv.DictReader(file) if row["val_loss"]]


def test_training_by_heart_returns_to_its_best_epoch(
    small_scan: Scan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = train(small_scan.take(slice(0, 10)), tmp_path, replace(SETTINGS, epochs=60))
    losses = read_validation_losses(tmp_path)
    assert result.overfitted
    assert losses.index(min(losses)) <= len(losses) - 1 - 60 // 10
    assert len(losses) < 60
    assert "worse and worse" in caplog.text
    assert result.last.read_bytes() == result.best.read_bytes()


def test_training_that_still_learns_runs_to_its_end(small_scan: Scan, tmp_path: Path) -> None:
    result = train(small_scan, tmp_path, replace(SETTINGS, learning_rate=1e-3, epochs=12))
    assert not result.overfitted
    assert len(read_validation_losses(tmp_path)) == 12
