"""The client's configurations, its module and its checkpoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from ptycho_torch.contracts.ptychodus.configs import (
    FIELDS,
    SECTIONS,
    DataConfig,
    DatagenConfig,
    InferenceConfig,
    ModelConfig,
    TrainingConfig,
)
from ptycho_torch.contracts.ptychodus.field import list_rows, restore_fields
from ptycho_torch.contracts.ptychodus.scans import PreparedTraining
from ptycho_torch.contracts.ptychodus.settings import MODEL_NAME, ClientExperiment, translate
from ptycho_torch.errors import CheckpointError, ConfigError
from ptycho_torch.models.checkpoint import TrainedNetwork, load_network, write_inference_checkpoint
from ptycho_torch.models.record import LAST_NAME
from ptycho_torch.training.bootstrap import bootstrap_probes
from ptycho_torch.training.build import build_module
from ptycho_torch.training.fit import BEST_NAME, CHECKPOINT_FOLDER, TrainingResult
from ptycho_torch.training.module import ReconstructionModule

CLIENT_KEY = "client"
CONFIG_NAMES = tuple(f"{section}_config" for section in SECTIONS)
# fields that define a network; the others may differ from those it was trained with
_FIXED = [
    row
    for row in FIELDS
    if row.label == "DataConfig.N"
    or any(path.startswith("model.") or path == "training.target" for path in row.meaning.to)
]


def find_best_checkpoint(run_folder: Path | str) -> Path | None:
    """The best checkpoint of a run, else the last, else any; None if there is none."""
    folder = Path(run_folder) / CHECKPOINT_FOLDER
    named = [folder / BEST_NAME, folder / LAST_NAME]
    return next((path for path in [*named, *sorted(folder.glob("*.ckpt"))] if path.is_file()), None)


def read_configs(trained: TrainedNetwork, path: Path) -> tuple[dict[str, Any], ...]:
    """The client's data, model, training and inference configuration in a checkpoint, as plain dicts.

    A network that was trained without the client contains none; it gets those that come closest to it.

    Raises:
        CheckpointError: some of them are missing.
    """
    stored = trained.record.get(CLIENT_KEY)
    if stored is None:
        return _make_closest(trained)
    held = stored if isinstance(stored, dict) else {}
    missing = [name for name in CONFIG_NAMES if not isinstance(held.get(name), dict)]
    if missing:
        raise CheckpointError(f"{path}: lacks {' and '.join(missing)}; use another checkpoint, or train")
    return tuple(dict(held[name]) for name in CONFIG_NAMES)


def _make_closest(trained: TrainedNetwork) -> tuple[dict[str, Any], ...]:
    configs = [owner(**restore_fields(owner, trained.experiment)) for owner in SECTIONS.values()]
    data = configs[0]
    data.N = trained.patch_px
    for config in configs:
        for row in list_rows(type(config)):
            if row.meaning.usual:
                setattr(config, row.name, row.meaning.usual(data))
    return tuple(map(dataclasses.asdict, configs))


class PtychoPINN_Lightning(ReconstructionModule):
    """The training module of this package, under the name and with the attributes that the client uses.

    Attributes:
        loss_name: key under which the training loss of an epoch is logged.
        val_loss_name: key under which the validation loss of an epoch is logged.
        trained: the contents of the checkpoint from which the module was loaded, if it was.
    """

    loss_name = "train_loss"
    val_loss_name = "val_loss"
    trained: TrainedNetwork | None = None

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: Path | str,
        map_location: Any = None,  # noqa: ANN401
        **configs: Any,  # noqa: ANN401
    ) -> Self:
        """Read a checkpoint without running any code in it, whatever device it was trained on.

        Args:
            checkpoint_path: the file.
            map_location: device to move the network to; the CPU by default.
            configs: the four client configurations, as dicts or objects; they must describe this network.

        Raises:
            CheckpointError: the file is unusable, or the configurations describe another network.
        """
        path = Path(checkpoint_path)
        trained = load_network(path)
        for owner, name, own in zip(SECTIONS.values(), CONFIG_NAMES, read_configs(trained, path), strict=True):
            given = own if configs.get(name) is None else configs[name]
            given = given if isinstance(given, Mapping) else dataclasses.asdict(given)
            for row in _FIXED:
                if row.owner is owner and given.get(row.name) != own.get(row.name):
                    raise CheckpointError(
                        f"{row.label} is {given.get(row.name)!r}; {path} was trained with {own.get(row.name)!r}"
                    )
        module = build_module(
            trained.experiment,
            list(trained.probes),
            trained.photons,
            list(trained.good),
            main_steps=max(trained.steps, 1),
            kind=cls,
        )
        module.generator.load_state_dict(trained.generator.state_dict())
        module.trained = trained
        return module if map_location is None else module.to(map_location)


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
        """The configurations as an experiment of this package; errors are those of `translate`."""
        return translate(self.data_config, self.model_config, self.training_config, self.inference_config)

    @property
    def configs(self) -> dict[str, dict[str, Any]]:
        """The four configurations that describe a network, by name, as plain dicts."""
        return {name: dataclasses.asdict(getattr(self, name)) for name in CONFIG_NAMES}

    @classmethod
    def from_loaded_model(cls, ptycho_model: PtychoModel) -> Self:
        """The configurations that a model was loaded with."""
        client = ptycho_model.network.record.get(CLIENT_KEY)
        stored_as = client.get("stored_as", "counts") if isinstance(client, dict) else "counts"
        owners = zip(CONFIG_NAMES, SECTIONS.values(), strict=True)
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
            [scan.sample_photons_per_pattern for scan in scans],
            [scan.good_pixels for scan in scans],
            prepared.data.main_steps,
            kind=model,
            backgrounds=[scan.background for scan in scans],
        )
        made.model.record[CLIENT_KEY] = {**configs, "stored_as": config_manager.stored_as}
        return made

    @staticmethod
    def _extract_configs_from_checkpoint(checkpoint_path: str) -> tuple[dict[str, Any], ...]:
        """Load a checkpoint and read its configurations, as `read_configs` does."""
        path = Path(checkpoint_path)
        return read_configs(load_network(path), path)


def _make_config(owner: type[Any], config: Any) -> Any:  # noqa: ANN401 - one of the client's classes, or a dict of one
    if not isinstance(config, Mapping):
        return config
    return owner(**{field.name: config[field.name] for field in dataclasses.fields(owner) if field.name in config})


def leave_model(result: TrainingResult, folder: Path) -> Path:
    """Write the network of the best checkpoint as the model of a workflow directory; returns the file."""
    path = folder / MODEL_NAME
    write_inference_checkpoint(load_network(result.best), path)
    return path
