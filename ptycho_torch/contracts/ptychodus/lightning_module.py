"""The client's LightningModule: the training module of this package under the name that the client imports."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from ptycho_torch.contracts.ptychodus.checkpoints import CONFIG_NAMES, client_configs_of
from ptycho_torch.contracts.ptychodus.configs import ModelConfig
from ptycho_torch.contracts.ptychodus.field import rows_of
from ptycho_torch.errors import CheckpointError
from ptycho_torch.models.checkpoint import TrainedNetwork, load_network
from ptycho_torch.training.build import build_module
from ptycho_torch.training.module import ReconstructionModule

# what a network is; the rest of the configurations may differ from those it was trained with
_FIXED = {
    "data_config": ["N"],
    "model_config": [
        row.name
        for row in rows_of(ModelConfig)
        if any(path.startswith("model.") or path == "training.target" for path in row.meaning.to)
    ],
}


class PtychoPINN_Lightning(ReconstructionModule):
    """A network with its physics, as the client trains and loads it.

    Attributes:
        loss_name: key under which the training loss of an epoch is logged.
        val_loss_name: key under which the validation loss of an epoch is logged.
        trained: what the checkpoint held, where the module came out of one.
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
        """Read a checkpoint without running anything in it; on the CPU, whatever it was trained on.

        Args:
            checkpoint_path: the file.
            map_location: device to move the network to; the CPU without one.
            configs: the four client configurations, as dicts or objects; they must describe this network.

        Raises:
            CheckpointError: the file cannot be used, or the configurations describe another network.
        """
        path = Path(checkpoint_path)
        trained = load_network(path)
        own = dict(zip(CONFIG_NAMES, client_configs_of(trained, path), strict=True))
        for name, fields in _FIXED.items():
            given = configs.get(name)
            if given is not None:
                _compare(path, name, plain(given), own[name], fields)
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
        return module.to(map_location) if map_location is not None else module


def plain(config: Any) -> dict[str, Any]:  # noqa: ANN401 - a dict or one of the client's classes
    """A client configuration as a plain dict."""
    return dict(config) if isinstance(config, Mapping) else dataclasses.asdict(config)


def _compare(path: Path, name: str, given: dict[str, Any], own: dict[str, Any], fields: list[str]) -> None:
    label = "".join(word.capitalize() for word in name.split("_"))
    for field in fields:
        if given.get(field) != own.get(field):
            raise CheckpointError(
                f"{label}.{field} is {given.get(field)!r}; {path} was trained with {own.get(field)!r}"
            )
