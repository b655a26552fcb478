"""Checkpoints as the client uses them: which file of a run to take, and which configurations it carries."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ptycho_torch.contracts.ptychodus.configs import SECTIONS
from ptycho_torch.contracts.ptychodus.field import restore_fields, rows_of
from ptycho_torch.errors import CheckpointError
from ptycho_torch.models.checkpoint import TrainedNetwork
from ptycho_torch.training.fit import BEST_NAME, CHECKPOINT_FOLDER, LAST_NAME

CLIENT_KEY = "client"
CONFIG_NAMES = tuple(f"{section}_config" for section in SECTIONS)

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
        return _closest(trained)
    held = stored if isinstance(stored, dict) else {}
    missing = [name for name in CONFIG_NAMES if not isinstance(held.get(name), dict)]
    if missing:
        raise CheckpointError(f"{path}: its {' and '.join(missing)} is missing; take another, or train")
    data, model, training, inference = (dict(held[name]) for name in CONFIG_NAMES)
    return data, model, training, inference


def _closest(trained: TrainedNetwork) -> Configs:
    data, *others = (owner(**restore_fields(owner, trained.experiment)) for owner in SECTIONS.values())
    data.N = trained.patch_px
    for config in (data, *others):
        for row in rows_of(type(config)):
            if row.meaning.usual:
                setattr(config, row.name, row.meaning.usual(data))
    dicts = [dataclasses.asdict(config) for config in (data, *others)]
    return dicts[0], dicts[1], dicts[2], dicts[3]
