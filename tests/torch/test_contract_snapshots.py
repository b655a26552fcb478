"""Snapshots of the contract, made by the code as it is, for the reports: parameters, configuration, and a bundle."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ptycho_torch.api.config_bridge import to_inference_config, to_model_config, to_training_config
from ptycho_torch.config import Experiment, ModelSettings
from ptycho_torch.config_params import DataConfig, InferenceConfig, ModelConfig, TrainingConfig
from ptycho_torch.contracts.legacy.parameters import update_legacy_dict
from ptycho_torch.contracts.legacy.workflows import save_torch_bundle
from ptycho_torch.models.archive import open_bundle
from ptycho_torch.training.build import build_module
from ptycho_torch.training.module import ReconstructionModule

HERE = Path(__file__).parent
SIDE = 64


def keep(values: object, path: Path) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def test_snapshots_of_parameters_and_archive_are_left_with_the_run(tmp_path: Path) -> None:
    given = json.loads((HERE / "pytorch_config_snapshot.json").read_text(encoding="utf-8"))
    keep(given, tmp_path / "pytorch_config_snapshot.json")
    data, model = DataConfig(**given["data"]), ModelConfig(**given["model"])
    section = to_model_config(data, model, given["model_overrides"])
    training, inference = TrainingConfig(**given["training"]), InferenceConfig(**given["inference"])
    params: dict[str, Any] = {}
    update_legacy_dict(params, to_training_config(section, data, model, training, given["training_overrides"]))
    update_legacy_dict(params, to_inference_config(section, data, inference, given["inference_overrides"]))
    assert params == json.loads((HERE / "baseline_params.json").read_text(encoding="utf-8"))
    keep(params, tmp_path / "baseline_params.json")
    params["N"] = SIDE
    module: ReconstructionModule = build_module(
        Experiment(model=ModelSettings(width=4, depth=2)),
        [np.ones((1, SIDE, SIDE), np.complex64)],
        [1e5],
        [np.ones((SIDE, SIDE), bool)],
        1,
    )
    checkpoint = tmp_path / "last.ckpt"
    torch.save({"state_dict": module.state_dict(), "ptycho_torch": module.record, "global_step": 0}, checkpoint)
    bundle = save_torch_bundle(checkpoint, tmp_path, params)
    with zipfile.ZipFile(bundle) as archive:
        lines = [f"{member.filename} {member.file_size}" for member in archive.infolist()]
        manifest = pickle.loads(archive.read("manifest.dill"))
    (tmp_path / "archive_tree.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    keep(manifest, tmp_path / "archive_manifest_snapshot.json")
    assert manifest == json.loads((HERE / "archive_manifest_snapshot.json").read_text(encoding="utf-8"))
    tree = (HERE / "archive_tree.txt").read_text(encoding="utf-8").splitlines()
    assert {line.split()[0] for line in lines} == {line.split()[0] for line in tree if not line.startswith(" ")}
    assert open_bundle(bundle).params == params
