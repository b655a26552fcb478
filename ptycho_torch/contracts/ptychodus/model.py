"""The client's configurations together, and the network that belongs to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from ptycho_torch.contracts.ptychodus.checkpoints import CLIENT_KEY, CONFIG_NAMES, PtychoPINN_Lightning, read_configs
from ptycho_torch.contracts.ptychodus.configs import (
    SECTIONS,
    DataConfig,
    DatagenConfig,
    InferenceConfig,
    ModelConfig,
    TrainingConfig,
)
from ptycho_torch.contracts.ptychodus.preparation import PreparedTraining
from ptycho_torch.contracts.ptychodus.translate import ClientExperiment, translate
from ptycho_torch.errors import CheckpointError, ConfigError
from ptycho_torch.models.checkpoint import TrainedNetwork, load_network
from ptycho_torch.training.bootstrap import bootstrap_probes
from ptycho_torch.training.build import build_module


@dataclasses.dataclass(eq=False)
class ConfigManager:
    """The client's five configurations together.

    Attributes:
        data_config, model_config, training_config, inference_config, datagen_config: as the client sent them; the
            size of the patterns is corrected when the data are read.
        stored_as: the form of the training patterns, `counts` or `amplitude`.
        prepared: what to train on, after the data were read.
    """

    data_config: DataConfig
    model_config: ModelConfig
    training_config: TrainingConfig
    inference_config: InferenceConfig
    datagen_config: DatagenConfig | None = None
    stored_as: str = "counts"
    prepared: PreparedTraining | None = None

    @cached_property
    def asked(self) -> ClientExperiment:
        """The configurations as an experiment of this package.

        Raises:
            ConfigError: a field has an unusable value.
        """
        return translate(self.data_config, self.model_config, self.training_config, self.inference_config)

    @property
    def configs(self) -> dict[str, dict[str, Any]]:
        """The four configurations that describe a network, by name, as plain dicts."""
        return {name: dataclasses.asdict(getattr(self, name)) for name in CONFIG_NAMES}

    @classmethod
    def from_loaded_model(cls, ptycho_model: PtychoModel) -> Self:
        """The configurations that a model was loaded with."""
        owners = zip(CONFIG_NAMES, SECTIONS.values(), strict=True)
        client = ptycho_model.network.record.get(CLIENT_KEY)
        stored_as = client.get("stored_as", "counts") if isinstance(client, dict) else "counts"
        configs = {name: _make_config(owner, getattr(ptycho_model, name)) for name, owner in owners}
        return cls(**configs, stored_as=str(stored_as))

    def validate_arch_compatibility(self, ptycho_model: PtychoModel) -> None:
        """Raise CheckpointError unless the loaded network is the one that the configurations describe."""
        patch_px = ptycho_model.network.patch_px
        if patch_px != self.data_config.N:
            raise CheckpointError(f"DataConfig.N is {self.data_config.N}; the network was trained on {patch_px} px")


@dataclasses.dataclass(eq=False)
class PtychoModel:
    """A network with its configurations.

    Attributes:
        model_config, data_config, training_config, inference_config: dicts or configuration objects.
        model: the LightningModule.
    """

    model_config: Any
    data_config: Any
    training_config: Any
    inference_config: Any
    model: PtychoPINN_Lightning = dataclasses.field(init=False)

    @property
    def network(self) -> TrainedNetwork:
        """The contents of the checkpoint; CheckpointError if the model was not loaded from one."""
        if self.model.trained is None:
            raise CheckpointError("the model contains no trained network; load one with load_from_checkpoint")
        return self.model.trained

    @classmethod
    def _new_model(cls, model: type[PtychoPINN_Lightning], config_manager: ConfigManager) -> Self:
        """Find the probes of the data that were read, and make a model to train on them.

        Raises:
            ConfigError: no data were read yet, or the network does not fit the patterns.
            DataError: the data lack what training needs.
        """
        prepared, configs = config_manager.prepared, config_manager.configs
        if prepared is None:
            raise ConfigError("the size of the network comes from the patterns; make the PtychoDataLoader first")
        scans, made = prepared.data.scans, cls(**configs)
        made.model = build_module(
            prepared.experiment,
            bootstrap_probes(scans, prepared.experiment, prepared.device),
            [scan.photons_per_pattern for scan in scans],
            [scan.good_pixels for scan in scans],
            prepared.data.main_steps,
            kind=model,
        )
        made.model.record[CLIENT_KEY] = {**configs, "stored_as": config_manager.stored_as}
        return made

    @staticmethod
    def _extract_configs_from_checkpoint(checkpoint_path: str) -> tuple[dict[str, Any], ...]:
        """Data, model, training and inference configuration in a checkpoint, as dicts.

        Raises:
            CheckpointError: the file is unusable, or lacks one of them.
        """
        path = Path(checkpoint_path)
        return read_configs(load_network(path), path)


def _make_config(owner: type[Any], config: Any) -> Any:  # noqa: ANN401 - one of the client's classes, or a dict of one
    if not isinstance(config, Mapping):
        return config
    return owner(**{field.name: config[field.name] for field in dataclasses.fields(owner) if field.name in config})
