"""The released client trains and reconstructs with this package, through its own classes and child processes."""

# ruff: noqa: PLC0415 - the client is installed in an environment of its own; these tests are collected without it
from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from client_child import reconstruct_like_client

from ptycho_torch.errors import ConfigError
from ptycho_torch.evaluate.objects import complex_correlation

if TYPE_CHECKING:
    from ptychodus_scan import ClientScan

pytestmark = pytest.mark.ptychodus

MODES = ("Unsupervised", "Supervised")


def train(mode: str, scan: ClientScan, folder: Path, **settings: Any) -> tuple[Any, Any]:
    """Export, train with input and output in one folder, return the reconstructor and what it told."""
    from ptychodus_client import reconstructor

    chosen = reconstructor(mode, **settings)
    exported = scan.supervised_input if mode == "Supervised" else scan.reconstruct_input
    chosen.export_training_data(folder / "exported.npz", exported)
    (output,) = list(chosen.train(folder, folder))
    return chosen, output


def reconstruct(chosen: Any, scan: ClientScan) -> np.ndarray:
    """The only object that comes back."""
    (output,) = list(chosen.reconstruct(scan.reconstruct_input))
    found: np.ndarray = output.product.object_.get_array()
    assert output.product.object_.get_geometry() == scan.start.object_.get_geometry()
    return found[0]


def test_the_library_lists_both_reconstructors_of_the_backend() -> None:
    from ptychodus_client import library

    made = library()
    assert made.name == "PtychoPINN-Torch"
    assert [found.name for found in made] == list(MODES)
    assert all(found.is_trainable for found in made)


@pytest.mark.parametrize("mode", MODES)
def test_a_short_training_and_a_reconstruction_in_a_fresh_library(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ptychodus_client import lit, reconstructor, registration_error_px
    from ptychodus_scan import simulate_client_scan

    folder, elsewhere = tmp_path / "data", tmp_path / "working_directory"
    folder.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    scan = simulate_client_scan(extent_px=40)
    chosen, output = train(mode, scan, folder, training__epochs=2)
    assert [loss.epoch for loss in output.training_loss] == [0, 1]
    assert [loss.epoch for loss in output.validation_loss] == [0, 1]
    assert all(math.isfinite(loss.value) for loss in (*output.training_loss, *output.validation_loss))
    assert output.progress == chosen.get_progress_goal() == 2
    kept = tmp_path / "model.ckpt"
    chosen.save_model(kept)
    shutil.rmtree(folder)
    fresh = reconstructor(mode)
    fresh.load_model_from_file(kept)
    first, second = reconstruct(fresh, scan), reconstruct(fresh, scan)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, second)
    truth = scan.truth.object_.get_array()[0]
    assert complex_correlation(first, truth, lit(scan)) >= 0.95
    assert registration_error_px(first, truth, lit(scan)) <= 0.5
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("simulation", "settings"),
    [
        ({"extent_px": 13.0}, {}),
        ({"extent_px": 30.0}, {"data__num_channels": 1, "data__grid_size_x": 1, "data__grid_size_y": 1}),
        ({"extent_px": 30.0, "modes": 3}, {}),
        ({"extent_px": 30.0, "bad_pixels": 12}, {}),
        ({"extent_px": 30.0, "patch_px": 32}, {"data__model_size": 32}),
        ({"extent_px": 30.0}, {"training__num_dataloader_workers": 0, "training__distributed_strategy": "auto"}),
    ],
    ids=["few patterns", "one pattern a group", "three probe modes", "bad pixels", "another size", "no workers"],
)
def test_scans_and_settings_of_other_kinds(
    simulation: dict[str, Any], settings: dict[str, Any], tmp_path: Path
) -> None:
    from ptychodus_scan import simulate_client_scan

    scan = simulate_client_scan(**simulation)
    chosen, _ = train("Unsupervised", scan, tmp_path, training__epochs=1, **settings)
    image = reconstruct(chosen, scan)
    assert np.isfinite(image).all()
    assert image.shape == scan.truth.object_.get_array().shape[1:]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"data__grid_size_x": 3}, "DataConfig.grid_size is (2, 3)"),
        ({"training__enable_staged_finetuning": True}, "TrainingConfig.enable_staged_finetuning is True"),
        ({"model__loss_function": "MSE"}, "ModelConfig.loss_function is 'MSE'"),
    ],
)
def test_a_refusal_reaches_the_client_as_one_reason(settings: dict[str, Any], reason: str, tmp_path: Path) -> None:
    from ptychodus.model.processing._subprocess_protocol import ChildError
    from ptychodus_scan import simulate_client_scan

    with pytest.raises(ChildError) as caught:
        train("Unsupervised", simulate_client_scan(extent_px=20), tmp_path, training__epochs=1, **settings)
    assert isinstance(caught.value.child_exception, ConfigError)
    assert reason in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"exported.npz"}


def test_supervised_training_without_labels_reaches_the_client_as_one_reason(tmp_path: Path) -> None:
    from ptychodus.model.processing._subprocess_protocol import ChildError
    from ptychodus_client import reconstructor
    from ptychodus_scan import simulate_client_scan

    scan = simulate_client_scan(extent_px=20)
    chosen = reconstructor("Supervised", training__epochs=1)
    chosen.export_training_data(tmp_path / "exported.npz", scan.reconstruct_input)
    with pytest.raises(ChildError, match=r"Supervised.*objectGuess"):
        list(chosen.train(tmp_path, tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", MODES)
def test_the_clients_defaults_on_a_thousand_patterns(mode: str, tmp_path: Path) -> None:
    from ptychodus_client import client_positions, lit, registration_error_px
    from ptychodus_scan import simulate_client_scan

    scan = simulate_client_scan()
    assert len(scan.truth.probe_positions) == 961
    chosen, output = train(mode, scan, tmp_path)
    assert output.progress == 50
    first, second = reconstruct(chosen, scan), reconstruct(chosen, scan)
    np.testing.assert_array_equal(first, second)
    truth, mask = scan.truth.object_.get_array()[0], lit(scan)
    probe = scan.start.probes.get_probe_no_opr().get_array()
    checkpoint = chosen._loaded_model_path
    patterns = scan.data.get_patterns()
    own = reconstruct_like_client(checkpoint, patterns, probe, client_positions(scan), polish=False)
    assert complex_correlation(first, truth, mask) >= 0.95
    assert registration_error_px(first, truth, mask) <= 0.5
    assert complex_correlation(own, truth, mask) >= 0.60
