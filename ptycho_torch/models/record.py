"""The record of a network: plain values, stored beside its weights, from which it can be built again."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from ptycho_torch.config import Experiment
from ptycho_torch.errors import CheckpointError, ConfigError
from ptycho_torch.storage.untrusted import explain_damage

RECORD_VERSION = 1
# the key of the record in a checkpoint
KEY = "ptycho_torch"
LARGEST_PATCH_PX = 2**14


def make_record(experiment: Experiment, patch_px: int) -> dict[str, Any]:
    """Describe a network by plain values."""
    return {"version": RECORD_VERSION, "patch_px": patch_px, "experiment": experiment.to_dict()}


def check_checkpoint(path: Path) -> None:
    """Check without torch that a checkpoint is complete and one of this package.

    Raises:
        CheckpointError: it does not exist, is damaged, or was not written by this package.
    """
    with explain_damage(path, "checkpoint", CheckpointError), zipfile.ZipFile(path) as archive:
        spoilt = archive.testzip()
        tables = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        ours = any(KEY.encode() in archive.read(name) for name in tables)
    if spoilt:
        raise CheckpointError(f"{path}: is not a readable checkpoint ({spoilt!a} was changed)")
    if not ours:
        raise CheckpointError(f"{path}: is not a checkpoint of ptycho_torch; train one with: ptycho-torch train")


def read_record(record: object) -> tuple[Experiment, int]:
    """Read settings and side of the patterns from an untrusted record.

    Raises:
        ConfigError: it is of another version, or a value is missing, unknown or unusable.
    """
    if not isinstance(record, dict):
        raise ConfigError("its record is not a mapping")
    if record.get("version") != RECORD_VERSION:
        raise ConfigError(f"its version is {repr(record.get('version'))[:60]}; it must be {RECORD_VERSION}")
    settings, patch_px = record.get("experiment"), record.get("patch_px")
    if not isinstance(settings, dict):
        raise ConfigError("its record contains no settings")
    if type(patch_px) is not int or not 0 < patch_px <= LARGEST_PATCH_PX:
        raise ConfigError(
            f"its record's patch_px is {repr(patch_px)[:60]}; it must be an integer from 1 to {LARGEST_PATCH_PX}"
        )
    return Experiment.from_dict(settings), patch_px
