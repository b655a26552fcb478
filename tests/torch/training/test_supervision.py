"""Learning from the true object, if a scan contains it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy_physics
import pytest
import torch
from numpy_samples import compact_probe, complex_noise

from ptycho_torch.config import Experiment, ModelSettings, TrainingSettings
from ptycho_torch.data.canvas import Canvas
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import DataError
from ptycho_torch.training.build import build_objective
from ptycho_torch.training.datamodule import ScanDataModule
from ptycho_torch.training.dataset import Batch
from ptycho_torch.training.fit import fit
from ptycho_torch.workflows.training import train_network

SIDE, GROUPS, SIZE = 16, 2, 3
PROBES = np.array([compact_probe(SIDE, 2, photons=900.0), compact_probe(SIDE, 2, width=1.6, photons=1300.0)])
LIGHTS = [(np.abs(probe) ** 2).sum(0) for probe in PROBES]


def settings(**changes: Any) -> TrainingSettings:
    return TrainingSettings.from_dict({"target": "object", "group_size": 4, "bootstrap_epochs": 0} | changes)


def test_labels_are_the_true_object_at_each_position(small_scan: Scan) -> None:
    assert small_scan.truth is not None
    moved = Canvas(small_scan.truth.pixels, (small_scan.truth.origin_px[0] + 5, small_scan.truth.origin_px[1] - 3))
    scan = replace(small_scan, truth=moved, positions_px=small_scan.positions_px + np.array([5, -3]))
    batches = [*(data := ScanDataModule([scan], settings())).train_dataloader(), *data.val_dataloader()]
    assert {batch.labels.shape[1:] for batch in batches} == {(4, 32, 32)}, "patterns have no labels"
    truth, seen = small_scan.truth.pixels.astype(complex), 0
    for batch in batches:
        for counts, label in zip(batch.counts.flatten(0, 1), batch.labels.flatten(0, 1), strict=True):
            number = int(np.flatnonzero((small_scan.counts == counts.numpy()).all(axis=(1, 2)))[0])
            row, column = np.round(small_scan.positions_px[number]).astype(int) - 16
            np.testing.assert_array_equal(label.numpy(), numpy_physics.cut(truth, (row, column), 32))
            seen += 1
    assert seen == 48


def test_patterns_alone_carry_no_labels(small_scan: Scan) -> None:
    batch = next(iter(ScanDataModule([small_scan], settings(target="patterns")).train_dataloader()))
    assert batch.labels.numel() == 0


def a_batch(rng: np.random.Generator) -> Batch:
    corners = rng.integers(0, 9, (GROUPS, SIZE, 2))
    corners -= corners.min(axis=1, keepdims=True)
    return Batch(
        counts=torch.from_numpy(rng.poisson(4.0, (GROUPS, SIZE, SIDE, SIDE)).astype(np.float32)),
        corners_px=torch.from_numpy(corners),
        shifts_px=torch.from_numpy(rng.uniform(-0.5, 0.5, (GROUPS, SIZE, 2)).astype(np.float32)),
        scan_index=torch.tensor([1, 0]),
        labels=torch.from_numpy((1j + 0.4 * complex_noise(rng, GROUPS, SIZE, SIDE, SIDE)).astype(np.complex64)),
    )


def distance(given: Batch, patches: np.ndarray, share: float, *, level: bool) -> float:
    """Mean distance to the labels in the light, of merged and of single patches, written out."""
    merged_terms, single_terms = [], []
    for group in range(GROUPS):
        light, corners = LIGHTS[int(given.scan_index[group])], given.corners_px[group].numpy()
        height, width = (corners.max(axis=0) + SIDE).tolist()
        canvas = numpy_physics.merged(patches[group], np.array([light] * SIZE), corners, (height, width))
        for number in range(SIZE):
            label = given.labels[group, number].numpy().astype(complex)
            if level:
                label = label * np.exp(-1j * np.angle((label * light).sum()))
            cut = numpy_physics.cut(canvas, (int(corners[number][0]), int(corners[number][1])), SIDE)
            merged_terms.append(np.average(np.abs(cut - label), weights=light))
            single_terms.append(np.average(np.abs(patches[group, number] - label), weights=light))
    return float((1 - share) * np.mean(merged_terms) + share * np.mean(single_terms))


@pytest.mark.parametrize("level", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_loss_is_the_distance_to_the_labels(level: bool, share: float, rng: np.random.Generator) -> None:
    given, patches = a_batch(rng), 1 + 0.2 * complex_noise(rng, GROUPS, SIZE, SIDE, SIDE)
    found = build_objective(settings(unmerged_weight=share, level_labels=level))(
        given,
        torch.from_numpy(patches.astype(np.complex64)).flatten(0, 1),
        torch.from_numpy(PROBES.astype(np.complex64)),
        torch.ones(2, SIDE, SIDE),
    ).item()
    assert found == pytest.approx(distance(given, patches, share, level=level), rel=1e-4), "is another loss"


def test_training_brings_patches_closer_to_the_object(small_scan: Scan, tmp_path: Path) -> None:
    assert small_scan.probe is not None
    losses = []
    for steps in (1, 60):
        experiment = Experiment(
            model=ModelSettings(width=8, depth=2), training=settings(steps=steps, warmup_steps=0, learning_rate=3e-3)
        )
        folder = tmp_path / str(steps)
        result = fit([small_scan], [small_scan.probe], experiment, folder, device=torch.device("cpu"), track=False)
        assert result.validation_loss is not None
        losses.append(result.validation_loss)
    assert losses[1] < 0.8 * losses[0], "patches stay as far from the object"
    assert losses[1] < 0.3, "is another loss"


@pytest.mark.parametrize("truth", [None, Canvas(np.full((96, 96), 0.6 + 0.8j, np.complex64), (-16.0, -16.0))])
def test_a_scan_without_an_object_cannot_teach(truth: Canvas | None, small_scan: Scan, tmp_path: Path) -> None:
    scan = replace(small_scan, truth=truth)
    with pytest.raises(DataError, match="objectGuess is missing or constant"):
        ScanDataModule([scan], settings())
    experiment = Experiment(model=ModelSettings(width=4, depth=1), training=settings(steps=1))
    with pytest.raises(DataError, match="objectGuess is missing or constant"):
        train_network([small_scan, scan], tmp_path / "o", experiment, device="cpu")
    assert not (tmp_path / "o").exists()
