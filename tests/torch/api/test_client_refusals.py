"""What the client may send that cannot work: one clear reason each, which the client shows in a dialog."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from client_child import HALF_PIXEL, client_configs, export_scan, reconstruct_like_client, train_like_client

from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import PtychoError

QUICK = {"training__epochs": 1, "training__batch_size": 4}


@pytest.fixture(scope="module")
def checkpoint(small_scan: Scan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    export_scan(small_scan, folder / "scan.npz")
    return train_like_client(client_configs(**QUICK), folder, folder).checkpoint


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model__mode": "Semi"}, "ModelConfig.mode is 'Semi'"),
        ({"data__grid_size": (2, 3)}, "DataConfig.grid_size is (2, 3)"),
        ({"data__neighbor_function": "Farthest"}, "DataConfig.neighbor_function is 'Farthest'"),
        ({"model__loss_function": "MSE"}, "ModelConfig.loss_function is 'MSE'"),
        ({"model__amp_activation": "tanh"}, "ModelConfig.amp_activation is 'tanh'"),
        ({"model__probe_mask": np.ones((32, 32))}, "ModelConfig.probe_mask"),
        ({"training__enable_staged_finetuning": True}, "TrainingConfig.enable_staged_finetuning is True"),
        ({"training__scheduler": "MultiStage"}, "TrainingConfig.scheduler is 'MultiStage'"),
        ({"training__device": "tpu"}, "TrainingConfig.device is 'tpu'"),
        ({"training__framework": "Default"}, "TrainingConfig.framework is 'Default'"),
        ({"training__learning_rate": 0.0}, "TrainingConfig.learning_rate is 0.0"),
        ({"data__probe_normalize": False}, "DataConfig.probe_normalize is False"),
        ({"model__probe_reference_coeff": 0.5}, "ModelConfig.probe_reference_coeff is 0.5"),
        ({"model__cbam_decoder": True, "model__eca_decoder": True}, "ModelConfig.cbam_decoder and eca_decoder"),
        ({"data__x_bounds": (0.9, 0.1)}, "DataConfig.x_bounds is (0.9, 0.1)"),
    ],
)
def test_unusable_settings(changes: dict[str, Any], reason: str, small_scan: Scan, tmp_path: Path) -> None:
    """[API-6.13]"""
    export_scan(small_scan, tmp_path / "scan.npz")
    with pytest.raises(PtychoError) as caught:
        train_like_client(client_configs(**QUICK, **changes), tmp_path, tmp_path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_supervised_training_without_labels(small_scan: Scan, tmp_path: Path) -> None:
    """[API-6.14]"""
    export_scan(small_scan, tmp_path / "scan.npz", truth=False)
    with pytest.raises(PtychoError, match=r"Supervised.*objectGuess"):
        train_like_client(client_configs(model__mode="Supervised", **QUICK), tmp_path, tmp_path)


def test_a_folder_without_data(tmp_path: Path) -> None:
    with pytest.raises(PtychoError, match=r"no \.npz"):
        train_like_client(client_configs(**QUICK), tmp_path, tmp_path)


@pytest.mark.parametrize("number", [0, 1])
def test_too_few_positions(number: int, checkpoint: Path, small_scan: Scan) -> None:
    positions = small_scan.positions_px[:number] - HALF_PIXEL
    with pytest.raises(PtychoError, match=f"{number} pattern"):
        reconstruct_like_client(checkpoint, small_scan.counts[:number], small_scan.probe, positions)


def test_a_scan_of_one_position_is_not_trained_on(small_scan: Scan, tmp_path: Path) -> None:
    export_scan(small_scan.take(np.arange(1)), tmp_path / "scan.npz")
    with pytest.raises(PtychoError, match="1 pattern"):
        train_like_client(client_configs(**QUICK), tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("patterns", "probe", "reason"),
    [
        (np.ones((4, 32, 30), np.uint32), np.ones((1, 32, 32), complex), "(4, 32, 30)"),
        (np.ones((4, 32, 32), np.uint32), np.ones((1, 48, 48), complex), "the probe has shape (1, 48, 48)"),
        (np.ones((4, 48, 48), np.uint32), np.ones((1, 48, 48), complex), "trained on patterns of 32 px"),
        (np.zeros((4, 32, 32), np.uint32), np.ones((1, 32, 32), complex), "no photons"),
        (np.ones((3, 32, 32), np.uint32), np.ones((1, 32, 32), complex), "positions have shape (4, 2)"),
    ],
)
def test_arrays_that_do_not_fit(patterns: np.ndarray, probe: np.ndarray, reason: str, checkpoint: Path) -> None:
    with pytest.raises(PtychoError) as caught:
        reconstruct_like_client(checkpoint, patterns, probe, np.array([[40.0, 40], [44, 40], [40, 44], [44, 44]]))
    assert reason in str(caught.value)


def _foreign(path: Path) -> None:
    torch.save({"state_dict": {"model.autoencoder.weight": torch.zeros(3)}, "hyper_parameters": {"x": 1}}, path)


def _without_configs(path: Path, checkpoint: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    del content["ptycho_torch"]["client"]["model_config"]
    torch.save(content, path)


@pytest.mark.parametrize("kind", ["foreign", "upstream pickle", "no configs", "other version", "truncated", "missing"])
def test_checkpoints_that_cannot_be_used(kind: str, checkpoint: Path, small_scan: Scan, tmp_path: Path) -> None:
    """[API-6.15]"""
    path = tmp_path / "model.ckpt"
    if kind == "foreign":
        _foreign(path)
    elif kind == "upstream pickle":
        torch.save({"state_dict": {}, "hyper_parameters": {"model_config": replace(small_scan)}}, path)
    elif kind == "no configs":
        _without_configs(path, checkpoint)
    elif kind == "other version":
        content = torch.load(checkpoint, weights_only=True)
        content["ptycho_torch"]["version"] = 99
        torch.save(content, path)
    elif kind == "truncated":
        path.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(PtychoError) as caught:
        reconstruct_like_client(path, small_scan.counts, small_scan.probe, small_scan.positions_px)
    assert "model.ckpt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_does_not_fit_the_configurations_handed_with_it(checkpoint: Path) -> None:
    from ptycho_torch.api.base_api import PtychoModel  # noqa: PLC0415 - as the client does it
    from ptycho_torch.model import PtychoPINN_Lightning  # noqa: PLC0415

    data, model, training, inference = PtychoModel._extract_configs_from_checkpoint(str(checkpoint))
    with pytest.raises(PtychoError, match=r"DataConfig\.N is 64"):
        PtychoPINN_Lightning.load_from_checkpoint(
            checkpoint,
            model_config=model,
            data_config={**data, "N": 64},
            training_config=training,
            inference_config=inference,
        )
