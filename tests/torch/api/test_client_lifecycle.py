"""The client's two child processes, step by step, without the client."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from client_child import (
    HALF_PIXEL,
    ClientTraining,
    client_configs,
    drawn,
    export_scan,
    reconstruct_like_client,
    train_like_client,
)

from ptycho_torch.data.scan import Scan
from ptycho_torch.evaluate.objects import complex_correlation, phase_correlation

QUICK = {"training__epochs": 2, "training__batch_size": 4}


def positions_of(scan: Scan) -> np.ndarray:
    return scan.positions_px - HALF_PIXEL


def train(scan: Scan, folder: Path) -> ClientTraining:
    export_scan(scan, folder / "scan.npz")
    return train_like_client(client_configs(**QUICK), folder, folder)


def test_the_client_finds_the_backend_and_no_other() -> None:
    """[API-6.1]"""
    assert importlib.util.find_spec("ptycho_torch")
    assert importlib.util.find_spec("lightning")
    assert importlib.util.find_spec("ptycho") is None


@pytest.mark.parametrize("mode", ["Unsupervised", "Supervised"])
def test_training_tells_a_loss_for_every_epoch_and_leaves_one_whole_file(
    mode: str, small_scan: Scan, tmp_path: Path
) -> None:
    """[API-6.5] [API-6.6]"""
    export_scan(small_scan, tmp_path / "scan.npz")
    result = train_like_client(client_configs(model__mode=mode, **QUICK), tmp_path, tmp_path)
    assert [epoch for epoch, _ in result.training_loss] == [0, 1]
    assert [epoch for epoch, _ in result.validation_loss] == [0, 1]
    assert result.epochs == 2
    assert all(math.isfinite(loss) for _, loss in result.training_loss + result.validation_loss)
    assert result.checkpoint.name == "best-checkpoint.ckpt"
    moved = tmp_path / "elsewhere" / "model.ckpt"
    moved.parent.mkdir()
    shutil.copyfile(result.checkpoint, moved)
    shutil.rmtree(result.run_folder)
    image = reconstruct_like_client(moved, small_scan.counts, small_scan.probe, positions_of(small_scan))
    assert np.isfinite(image).all()


def test_input_folder_and_output_folder_may_be_the_same_and_nothing_else_is_touched(
    small_scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[API-6.3]"""
    folder, elsewhere = tmp_path / "data", tmp_path / "working_directory"
    folder.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    export_scan(small_scan, folder / "scan.npz")
    (folder / "settings.ini").write_text("[Processing]\n")
    runs = [train_like_client(client_configs(**QUICK), folder, folder).run_folder for _ in range(2)]
    assert len(set(runs)) == 2
    assert all(run.parent == folder and re.fullmatch(r"run_\d{8}_\d{6}(-\d+)?", run.name) for run in runs)
    assert all((run / "checkpoints" / "best-checkpoint.ckpt").is_file() for run in runs)
    assert {path.name for path in folder.iterdir()} == {"scan.npz", "settings.ini", *(run.name for run in runs)}
    assert list(elsewhere.iterdir()) == []


def test_the_run_folder_keeps_what_the_client_asked_for(small_scan: Scan, tmp_path: Path) -> None:
    """[API-6.4]"""
    trained = train(small_scan, tmp_path)
    stored = {path.name: json.loads(path.read_text()) for path in (trained.run_folder / "configs").iterdir()}
    assert set(stored) == {f"{name}_config.json" for name in ("data", "model", "training", "inference")}
    assert stored["training_config.json"]["epochs"] == 2
    # the size that the patterns really have
    assert stored["data_config.json"]["N"] == 32


def test_the_size_comes_from_the_data_and_a_warning_names_the_setting(
    small_scan: Scan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """[API-6.2]"""
    export_scan(small_scan, tmp_path / "scan.npz")
    with caplog.at_level(logging.WARNING):
        train_like_client(client_configs(**QUICK), tmp_path, tmp_path)
    assert re.search(r"DataConfig\.N is 128; .* 32 px .*model_size", caplog.text)


def test_the_log_says_which_file_to_copy(small_scan: Scan, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """[API-6.7]"""
    export_scan(small_scan, tmp_path / "scan.npz")
    with caplog.at_level(logging.INFO):
        result = train_like_client(client_configs(**QUICK), tmp_path, tmp_path)
    assert re.search(re.escape(str(result.checkpoint)) + ".*model.ckpt", caplog.text)


def test_the_object_has_the_clients_size_lies_at_its_place_and_is_the_same_twice(
    small_scan: Scan, tmp_path: Path
) -> None:
    """[API-6.9] [API-6.10]"""
    trained = train(small_scan, tmp_path)
    positions = positions_of(small_scan)
    first, second = (
        reconstruct_like_client(trained.checkpoint, small_scan.counts.astype(np.uint32), small_scan.probe, positions)
        for _ in range(2)
    )
    extent = np.ptp(positions, axis=0)
    assert first.shape == tuple(math.ceil(side + 32) for side in extent)
    assert np.iscomplexobj(first)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, second)
    assert small_scan.truth is not None
    truth = small_scan.truth.pixels
    middle = (positions.min(axis=0) + positions.max(axis=0)) / 2
    shown = drawn(first, middle, truth.shape)
    lit = np.zeros(truth.shape, bool)
    lit[18:46, 18:46] = True
    assert complex_correlation(shown, truth, lit) > 0.95
    wrong = complex_correlation(np.roll(shown, 1, axis=0), truth, lit)
    assert wrong < complex_correlation(shown, truth, lit) - 0.05


def test_the_networks_own_object_can_be_had_and_is_another_one(small_scan: Scan, tmp_path: Path) -> None:
    trained = train(small_scan, tmp_path)
    own, finished = (
        reconstruct_like_client(
            trained.checkpoint, small_scan.counts, small_scan.probe, positions_of(small_scan), **options
        )
        for options in ({"polish": False}, {})
    )
    assert own.shape == finished.shape
    assert np.isfinite(own).all()
    assert (own != finished).any()


def test_supervised_training_learns_the_objects_phases(small_scan: Scan, tmp_path: Path) -> None:
    export_scan(small_scan, tmp_path / "scan.npz")
    whole = {"data__x_bounds": (0.0, 1.0), "data__y_bounds": (0.0, 1.0)}
    configs = client_configs(model__mode="Supervised", training__epochs=80, training__batch_size=2, **whole)
    result = train_like_client(configs, tmp_path, tmp_path)
    assert result.training_loss[-1][1] < 0.9 * result.training_loss[0][1]
    positions = positions_of(small_scan)
    own = reconstruct_like_client(result.checkpoint, small_scan.counts, small_scan.probe, positions, polish=False)
    middle = (positions.min(axis=0) + positions.max(axis=0)) / 2
    assert small_scan.truth is not None
    truth = small_scan.truth.pixels
    lit = np.zeros(truth.shape, bool)
    lit[20:44, 20:44] = True
    assert phase_correlation(drawn(own, middle, truth.shape), truth, lit) > 0.6


def test_bounds_limit_the_training_and_not_the_reconstruction(
    small_scan: Scan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """[API-6.8]"""
    export_scan(small_scan, tmp_path / "scan.npz")
    with caplog.at_level(logging.INFO):
        result = train_like_client(client_configs(**QUICK), tmp_path, tmp_path)
    assert re.search(r"\d+ of 49 patterns lie within the bounds", caplog.text)
    extent = np.ptp(positions_of(small_scan), axis=0)
    image = reconstruct_like_client(result.checkpoint, small_scan.counts, small_scan.probe, positions_of(small_scan))
    assert image.shape == tuple(math.ceil(side + 32) for side in extent)


@pytest.mark.parametrize(
    ("changes", "patterns"),
    [
        ({}, 12),
        ({"data__C": 1, "model__C_model": 1, "model__C_forward": 1, "data__grid_size": (1, 1)}, 49),
        ({"data__neighbor_function": "4_quadrant"}, 49),
        ({"data__neighbor_function": "Min_dist"}, 49),
        ({"model__loss_function": "MAE", "model__amp_activation": "sigmoid", "training__scheduler": "Cosine"}, 49),
    ],
    ids=["12 patterns", "1 pattern a group", "quadrants", "distances", "other losses"],
)
def test_settings_and_scans_of_other_kinds(
    changes: dict[str, object], patterns: int, small_scan: Scan, tmp_path: Path
) -> None:
    scan = small_scan.take(np.arange(patterns))
    export_scan(scan, tmp_path / "scan.npz")
    result = train_like_client(client_configs(**QUICK, **changes), tmp_path, tmp_path)
    image = reconstruct_like_client(result.checkpoint, scan.counts, scan.probe, positions_of(scan))
    assert np.isfinite(image).all()


def test_several_modes_and_bad_pixels(small_scan: Scan, tmp_path: Path) -> None:
    assert small_scan.probe is not None
    modes = np.concatenate([small_scan.probe, 0.2 * np.roll(small_scan.probe, 2, -1), 0.1 * small_scan.probe[:, ::-1]])
    good = np.ones((32, 32), bool)
    good[3, 5:9] = False
    scan = replace(small_scan, probe=modes, good_pixels=good)
    export_scan(scan, tmp_path / "scan.npz")
    result = train_like_client(client_configs(**QUICK), tmp_path, tmp_path)
    image = reconstruct_like_client(result.checkpoint, scan.counts, modes, positions_of(scan))
    assert np.isfinite(image).all()


def test_amplitudes_instead_of_counts(small_scan: Scan, tmp_path: Path) -> None:
    """[API-6.11]"""
    export_scan(small_scan, tmp_path / "scan.npz")
    with np.load(tmp_path / "scan.npz") as archive:
        arrays = dict(archive)
    arrays["diff3d"] = np.sqrt(arrays["diff3d"].astype(np.float32))
    np.savez(tmp_path / "scan.npz", **arrays)
    result = train_like_client(client_configs(**QUICK), tmp_path, tmp_path)
    counts, amplitudes = (
        reconstruct_like_client(result.checkpoint, patterns, small_scan.probe, positions_of(small_scan))
        for patterns in (small_scan.counts, np.sqrt(small_scan.counts))
    )
    np.testing.assert_allclose(amplitudes, counts, atol=1e-3)
