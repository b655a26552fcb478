"""Length and speed of training: Lightning does what the settings specify."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ptycho_torch.config import Experiment, ModelSettings, TrainingSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.training import fit as fitting
from ptycho_torch.training.module import ReconstructionModule

SMALL: dict[str, Any] = {"group_size": 4, "batch_size": 2, "warmup_steps": 0}


class Watch:
    """Records a training: batches, learning rate and norm of the gradient in each step, validations."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches = 0
        self.rates: list[float] = []
        self.norms: list[float] = []
        self.validated: list[int] = []
        step, clip = ReconstructionModule.training_step, ReconstructionModule.configure_gradient_clipping

        def stepping(module: ReconstructionModule, *given: Any) -> Any:
            self.batches += 1
            return step(module, *given)

        def clipping(module: ReconstructionModule, optimiser: torch.optim.Optimizer, *given: Any, **named: Any) -> None:
            clip(module, optimiser, *given, **named)
            self.rates.append(optimiser.param_groups[0]["lr"])
            gradients = [weight.grad for weight in module.generator.parameters() if weight.grad is not None]
            self.norms.append(float(torch.nn.utils.get_total_norm(gradients)))

        monkeypatch.setattr(ReconstructionModule, "training_step", stepping)
        monkeypatch.setattr(ReconstructionModule, "configure_gradient_clipping", clipping)
        monkeypatch.setattr(
            ReconstructionModule, "on_validation_end", lambda module: self.validated.append(self.batches)
        )


def trained(scan: Scan, folder: Path, **settings: Any) -> fitting.TrainingResult:
    assert scan.probe is not None
    experiment = Experiment(
        model=ModelSettings(width=4, depth=1), training=TrainingSettings.from_dict(SMALL | settings)
    )
    return fitting.fit([scan], [scan.probe], experiment, folder, device=torch.device("cpu"), track=False)


def test_gradients_of_several_batches_make_a_step(
    small_scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(monkeypatch)
    # 49 patterns in groups of 4: 12 groups an epoch, 6 batches of 2
    result = trained(small_scan, tmp_path, epochs=2, accumulate=4)
    assert watch.batches == 12
    # 4 + 2 batches in each epoch
    assert result.steps == len(watch.rates) == 4
    assert watch.validated == [6, 12]
    assert result.validation_loss is not None


def test_a_run_shorter_than_an_epoch_is_judged_at_its_end(
    small_scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(monkeypatch)
    result = trained(small_scan, tmp_path, steps=2, accumulate=2)
    assert (result.steps, watch.batches, watch.validated) == (2, 4, [4])
    assert result.validation_loss is not None


def test_epochs_of_fine_tuning_follow(small_scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(monkeypatch)
    rates = {"learning_rate": 0.01, "schedule": "exponential", "last_rate": 0.5, "fine_tune_rate": 0.2}
    result = trained(small_scan, tmp_path, epochs=2, fine_tune_epochs=1, **rates)
    assert result.steps == len(watch.rates) == 18
    assert watch.rates[:12] == pytest.approx([0.01 * 0.5 ** (step / 12) for step in range(12)])
    assert watch.rates[12:] == pytest.approx([0.002] * 6)
    assert watch.validated == [6, 12, 18]


@pytest.mark.parametrize("limit", [1e-3, None])
def test_gradients_are_clipped_where_it_was_asked_for(
    limit: float | None, small_scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(monkeypatch)
    trained(small_scan, tmp_path, steps=2, gradient_clip=limit)
    if limit is None:
        assert min(watch.norms) > 1e-2
    else:
        np.testing.assert_allclose(watch.norms, limit, rtol=1e-3)


def test_the_log_holds_every_step(small_scan: Scan, tmp_path: Path) -> None:
    trained(small_scan, tmp_path, epochs=1, accumulate=3)
    with (tmp_path / "logs" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sum(bool(row["train_loss_step"]) for row in rows) == 2
