"""The record of a network: plain values, stored beside its weights, from which it can be built again."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

from ptycho_torch.config.experiment import Experiment
from ptycho_torch.errors import CheckpointError, ConfigError

RECORD_VERSION = 1
# where a checkpoint holds it
KEY = "ptycho_torch"
LARGEST_PATCH_PX = 2**14


def make_record(experiment: Experiment, patch_px: int) -> dict[str, Any]:
    """What a file of weights tells about its network."""
    return {"version": RECORD_VERSION, "patch_px": patch_px, "experiment": experiment.to_dict()}


def check_checkpoint(path: Path) -> None:
    """Check what can be known of a checkpoint without torch: that it is whole, and one of this package.

    Raises:
        CheckpointError: it is missing, damaged, or from elsewhere.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path}: is truncated or not a checkpoint")
    try:
        with zipfile.ZipFile(path) as archive:
            spoilt = archive.testzip()
            tables = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            ours = any(KEY.encode() in archive.read(name) for name in tables)
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError, NotImplementedError, EOFError) as error:
        raise CheckpointError(f"{path}: is damaged and cannot be read ({type(error).__name__})") from error
    if spoilt:
        raise CheckpointError(f"{path}: is damaged and cannot be read ({spoilt!a} was changed)")
    if not ours:
        raise CheckpointError(f"{path}: is not a checkpoint of ptycho_torch; train one with: ptycho-torch train")


def read_record(record: object) -> tuple[Experiment, int]:
    """Settings and side of the patterns, out of a record from outside.

    Raises:
        ConfigError: it is of another version, or a value is missing, unknown or unusable.
    """
    if not isinstance(record, dict):
        raise ConfigError("its record is no table of values")
    if record.get("version") != RECORD_VERSION:
        raise ConfigError(
            f"its version is {repr(record.get('version'))[:60]}; this release reads version {RECORD_VERSION}"
        )
    settings, patch_px = record.get("experiment"), record.get("patch_px")
    if not isinstance(settings, dict):
        raise ConfigError("its record holds no settings")
    if type(patch_px) is not int or not 0 < patch_px <= LARGEST_PATCH_PX:
        raise ConfigError(f"its record's patch_px is {repr(patch_px)[:60]}; a number of pixels is needed")
    return Experiment.from_dict(settings), patch_px
