"""The record of a network: plain values, stored beside its weights, from which it can be built again."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ptycho_torch.config import Experiment
from ptycho_torch.errors import CheckpointError, ConfigError, NewerFormatError
from ptycho_torch.migrations.chain import Format
from ptycho_torch.migrations.checkpoints import CHECKPOINT
from ptycho_torch.migrations.fields import keep_known
from ptycho_torch.storage.untrusted import explain_damage

_log = logging.getLogger(__name__)

T = TypeVar("T")

RECORD_VERSION = CHECKPOINT.version
LAST_NAME = "last.ckpt"
# the key of the record in a checkpoint
KEY = "ptycho_torch"
LARGEST_PATCH_PX = 2**14


def make_record(experiment: Experiment, patch_px: int) -> dict[str, Any]:
    """Describe a network by plain values."""
    return {**CHECKPOINT.mark(), "patch_px": patch_px, "experiment": experiment.to_dict()}


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


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the last one first and the others from the newest to the oldest.

    Raises:
        CheckpointError: the folder cannot be read.
    """
    try:
        found = sorted(folder.glob("*.ckpt"), key=lambda path: (path.name == LAST_NAME, path.stat().st_mtime_ns))
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be read ({error.strerror or error})") from error
    return [path for path in reversed(found) if path.is_file()]


def check_any(folder: Path) -> None:
    """Check without torch that one of the checkpoints of a training is whole, if it has written any.

    Raises:
        CheckpointError: all of them are damaged; the message is that about the newest.
    """
    problems = []
    for path in list_checkpoints(folder):
        try:
            return check_checkpoint(path)
        except CheckpointError as error:
            problems.append(error)
    if problems:
        raise problems[0]
    return None


def find_whole(folder: Path, check: Callable[[Path], T]) -> tuple[Path, T] | None:
    """Find the newest checkpoint of a training that passes a check; None if the training has written none yet.

    Those that do not pass are named in a warning.

    Args:
        folder: that of the checkpoints.
        check: reads a checkpoint; raises CheckpointError if it is damaged.

    Raises:
        CheckpointError: all of them are damaged, and the message is that about the newest; or a newer version of this
            package has written one, which is not damaged.
    """
    problems: list[CheckpointError] = []
    for path in list_checkpoints(folder):
        try:
            found = check(path)
        except CheckpointError as error:
            if isinstance(error.__cause__, NewerFormatError):
                raise
            problems.append(error)
            continue
        for problem in problems:
            _log.warning("%s; the training goes on from %s, the newest whole checkpoint", problem, path)
        return path, found
    if problems:
        raise problems[0]
    return None


def set_aside(folder: Path, whole: Path | None) -> None:
    """Rename the last checkpoint of a training to `*.damaged` if another one is resumed from, so that it stays."""
    last = folder / LAST_NAME
    if whole not in (None, last) and last.exists():
        last.replace(last.with_name(f"{LAST_NAME}.damaged"))


def read_record(record: object, place: Path | str = "the record", form: Format = CHECKPOINT) -> tuple[Experiment, int]:
    """Read settings and side of the patterns from an untrusted record of this or an older version.

    Args:
        record: what is stored.
        place: the file, for warnings.
        form: what kind of file it is.

    Raises:
        ConfigError: it is of a newer version, or a value is missing or unusable.
    """
    if not isinstance(record, dict):
        raise ConfigError("its record is not a mapping")
    record = form.upgrade(record, place)
    settings, patch_px = record.get("experiment"), record.get("patch_px")
    if not isinstance(settings, dict):
        raise ConfigError("its record contains no settings")
    if type(patch_px) is not int or not 0 < patch_px <= LARGEST_PATCH_PX:
        raise ConfigError(
            f"its record's patch_px is {repr(patch_px)[:60]}; it must be an integer from 1 to {LARGEST_PATCH_PX}"
        )
    return Experiment.from_dict(keep_known(settings, place)), patch_px
