"""Checkpoints as the client uses them: which file of a run to take, and which configurations it carries."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ptycho_torch.contracts.legacy.parameters import CHANNELS_PER_FILTER_SCALE
from ptycho_torch.contracts.ptychodus.configs import DataConfig, InferenceConfig, ModelConfig, TrainingConfig
from ptycho_torch.errors import CheckpointError
from ptycho_torch.models.checkpoint import TrainedNetwork
from ptycho_torch.training.fit import BEST_NAME, CHECKPOINT_FOLDER, LAST_NAME

CLIENT_KEY = "client"
CONFIG_NAMES = ("data_config", "model_config", "training_config", "inference_config")

Configs = tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]


def find_best_checkpoint(run_folder: Path | str) -> Path | None:
    """The checkpoint of a run to go on with: the best, else the last, else any; None where there is none."""
    folder = Path(run_folder) / CHECKPOINT_FOLDER
    named = [folder / BEST_NAME, folder / LAST_NAME]
    return next((path for path in [*named, *sorted(folder.glob("*.ckpt"))] if path.is_file()), None)


def client_configs_of(trained: TrainedNetwork, path: Path) -> Configs:
    """The client's four configurations out of a checkpoint, as plain dicts.

    A network that was trained without the client has none; it gets those that come closest to it.

    Raises:
        CheckpointError: some of them are missing.
    """
    stored = trained.record.get(CLIENT_KEY)
    if stored is None:
        return _derived(trained)
    held = stored if isinstance(stored, dict) else {}
    missing = [name for name in CONFIG_NAMES if not isinstance(held.get(name), dict)]
    if missing:
        raise CheckpointError(f"{path}: its {' and '.join(missing)} is missing; take another, or train")
    data, model, training, inference = (dict(held[name]) for name in CONFIG_NAMES)
    return data, model, training, inference


def _derived(trained: TrainedNetwork) -> Configs:
    settings, group = trained.experiment, trained.experiment.training.group_size
    supervised = settings.training.target == "object"
    data = DataConfig(N=trained.patch_px, C=group)
    network = settings.model
    model = ModelConfig(
        mode="Supervised" if supervised else "Unsupervised",
        amp_activation=network.amplitude,
        cbam_encoder=network.encoder_attention == "cbam",
        cbam_bottleneck=network.bottleneck_attention == "cbam",
        cbam_decoder=network.decoder_attention == "cbam",
        eca_encoder=network.encoder_attention == "eca",
        eca_decoder=network.decoder_attention == "eca",
        spatial_decoder=network.decoder_attention == "spatial",
        use_shared_decoder=network.decoders == "shared",
        batch_norm=network.normalisation == "batch",
        probe_big=network.field == "whole",
        C_model=group,
        C_forward=group,
        decoder_last_amp_channels=group,
        n_filters_scale=max(1, network.width // CHANNELS_PER_FILTER_SCALE),
    )
    training = TrainingConfig(epochs=settings.training.epochs, batch_size=settings.training.batch_size)
    inference = InferenceConfig(batch_size=settings.inference.batch_size)
    dicts = [dataclasses.asdict(config) for config in (data, model, training, inference)]
    return dicts[0], dicts[1], dicts[2], dicts[3]
