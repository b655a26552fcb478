"""The client's configurations together, and what they ask for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from ptycho_torch.contracts.ptychodus.checkpoints import CLIENT_KEY, CONFIG_NAMES
from ptycho_torch.contracts.ptychodus.configs import (
    DataConfig,
    DatagenConfig,
    InferenceConfig,
    ModelConfig,
    TrainingConfig,
)
from ptycho_torch.contracts.ptychodus.translate import ClientExperiment, translate
from ptycho_torch.errors import CheckpointError

if TYPE_CHECKING:
    from ptycho_torch.contracts.ptychodus.loader import PtychoDataLoader
    from ptycho_torch.contracts.ptychodus.model import PtychoModel


class ConfigManager:
    """The client's five configurations together.

    Attributes:
        data_config, model_config, training_config, inference_config, datagen_config: as the client sent them; the
            size of the patterns is corrected when the data are read.
        stored_as: what the patterns of training were, counts or amplitudes.
    """

    def __init__(
        self,
        data_config: DataConfig,
        model_config: ModelConfig,
        training_config: TrainingConfig,
        inference_config: InferenceConfig,
        datagen_config: DatagenConfig | None = None,
    ) -> None:
        self.data_config = data_config
        self.model_config = model_config
        self.training_config = training_config
        self.inference_config = inference_config
        self.datagen_config = datagen_config
        self.loader: PtychoDataLoader | None = None
        self.stored_as = "counts"

    @cached_property
    def asked(self) -> ClientExperiment:
        """The configurations as an experiment of this package.

        Raises:
            ConfigError: a field has a value that cannot be had.
        """
        return translate(self.data_config, self.model_config, self.training_config, self.inference_config)

    @classmethod
    def from_loaded_model(cls, ptycho_model: PtychoModel) -> Self:
        """The configurations that a model was loaded with."""
        kinds = (DataConfig, ModelConfig, TrainingConfig, InferenceConfig)
        configs = (getattr(ptycho_model, name) for name in CONFIG_NAMES)
        made = cls(*(_as_config(kind, config) for kind, config in zip(kinds, configs, strict=True)))
        client = ptycho_model.network.record.get(CLIENT_KEY)
        made.stored_as = str(client.get("stored_as", "counts")) if isinstance(client, dict) else "counts"
        return made

    def validate_arch_compatibility(self, ptycho_model: PtychoModel) -> None:
        """Raise CheckpointError unless the loaded network is the one that the configurations describe."""
        patch_px = ptycho_model.network.patch_px
        if patch_px != self.data_config.N:
            raise CheckpointError(f"DataConfig.N is {self.data_config.N}; the network was trained on {patch_px} px")


def _as_config(kind: type[Any], config: Any) -> Any:  # noqa: ANN401 - one of the client's classes, or a dict of one
    if not isinstance(config, Mapping):
        return config
    known = {field.name for field in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in config.items() if name in known})
