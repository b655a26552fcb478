"""Checkpoints as the client uses them: the choice of one, its configurations, and the module loaded from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from ptycho_torch.contracts.ptychodus.configs import FIELDS, SECTIONS
from ptycho_torch.contracts.ptychodus.field import list_rows, restore_fields
from ptycho_torch.errors import CheckpointError
from ptycho_torch.models.checkpoint import TrainedNetwork, load_network
from ptycho_torch.training.build import build_module
from ptycho_torch.training.fit import BEST_NAME, CHECKPOINT_FOLDER, LAST_NAME
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
