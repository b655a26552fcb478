"""The client's model: a network with the configurations that belong to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from ptycho_torch.contracts.ptychodus.checkpoints import CLIENT_KEY, CONFIG_NAMES, Configs, client_configs_of
from ptycho_torch.contracts.ptychodus.lightning_module import PtychoPINN_Lightning, plain
from ptycho_torch.contracts.ptychodus.manager import ConfigManager
from ptycho_torch.errors import CheckpointError, ConfigError
from ptycho_torch.models.checkpoint import TrainedNetwork, load_network
from ptycho_torch.training.bootstrap import bootstrap_probes
from ptycho_torch.training.build import build_module


class PtychoModel:
    """A network with the configurations that belong to it.

    Attributes:
        model: the LightningModule.
        model_config, data_config, training_config, inference_config: dicts or configuration objects.
    """

    model: PtychoPINN_Lightning

    def __init__(self, model_config: Any, data_config: Any, training_config: Any, inference_config: Any) -> None:  # noqa: ANN401
        self.model_config = model_config
        self.data_config = data_config
        self.training_config = training_config
        self.inference_config = inference_config

    @property
    def network(self) -> TrainedNetwork:
        """What the checkpoint held.

        Raises:
            CheckpointError: the model was not loaded from one.
        """
        if self.model.trained is None:
            raise CheckpointError("the model holds no trained network; load one with load_from_checkpoint")
        return self.model.trained

    @classmethod
    def _new_model(cls, model: type[PtychoPINN_Lightning], config_manager: ConfigManager) -> Self:
        """A model to train on the data that were read; finds the probes first.

        Raises:
            ConfigError: no data were read yet, or the network does not fit the patterns.
            DataError: the data lack what training needs.
        """
        loader = config_manager.loader
        if loader is None:
            raise ConfigError("the network takes its size from the patterns; make the PtychoDataLoader first")
        configs = [getattr(config_manager, name) for name in CONFIG_NAMES]
        made = cls(**dict(zip(CONFIG_NAMES, configs, strict=True)))
        made.model = build_module(
            loader.experiment,
            bootstrap_probes(loader.scans, loader.experiment, loader.device),
            [scan.photons_per_pattern for scan in loader.scans],
            [scan.good_pixels for scan in loader.scans],
            loader.data.main_steps,
            kind=model,
        )
        made.model.record[CLIENT_KEY] = {
            **{name: plain(config) for name, config in zip(CONFIG_NAMES, configs, strict=True)},
            "stored_as": config_manager.stored_as,
        }
        return made

    @staticmethod
    def _extract_configs_from_checkpoint(checkpoint_path: str) -> Configs:
        """Data, model, training and inference configuration that a checkpoint carries, as dicts.

        Raises:
            CheckpointError: the file cannot be used, or lacks one of them.
        """
        path = Path(checkpoint_path)
        return client_configs_of(load_network(path), path)
