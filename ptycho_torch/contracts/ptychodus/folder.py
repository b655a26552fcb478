"""The client's workflow directory for the command line: its settings, its model, and one to try out."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho_torch.config import Experiment
from ptycho_torch.contracts.ptychodus.settings_file import SETTINGS_NAME, ClientSettings, read_settings, write_settings
from ptycho_torch.contracts.ptychodus.translate import ClientExperiment, translate
from ptycho_torch.data.scan import Scan
from ptycho_torch.formats.find import find_scans
from ptycho_torch.formats.ptychodus_folder import DIFFRACTION_NAME, FORMAT, write_workflow_directory
from ptycho_torch.formats.ptychodus_product import PRODUCT_NAME
from ptycho_torch.storage.writing import write_atomically

if TYPE_CHECKING:
    from ptycho_torch.training.fit import TrainingResult

_log = logging.getLogger(__name__)

MODEL_NAME = "model.ckpt"


def find_settings(data: Path) -> Path | None:
    """The settings file that belongs to scans; None where they are not from a workflow directory with one."""
    path = (data if data.is_dir() else data.parent) / SETTINGS_NAME
    in_use = path.is_file() and all(format is FORMAT for _, format in find_scans(data))
    return path if in_use else None


def read_experiment(settings_file: Path) -> ClientExperiment:
    """What a settings file asks for.

    Raises:
        ConfigError: it cannot be read, or a value cannot be used.
    """
    _log.info("%s: training begins with its settings; options override them", settings_file)
    found = read_settings(settings_file)
    return translate(found.data, found.model, found.training, found.inference)


def prepare_scans(
    scans: Sequence[Scan], asked: ClientExperiment, experiment: Experiment, *, warm_up: bool
) -> tuple[list[Scan], Experiment]:
    """Scans as the client's settings have them seen, and the experiment completed by them.

    Args:
        scans: as they were read.
        asked: what the settings file asks for.
        experiment: the same settings with what overrides them.
        warm_up: whether the file's warm-up counts, or has been overridden.

    Raises:
        DataError: a scan lacks what training needs.
    """
    from ptycho_torch.contracts.ptychodus.preparation import prepare  # noqa: PLC0415 - refusals do not wait for torch

    return prepare(scans, replace(asked, experiment=experiment, warmup_epochs=asked.warmup_epochs if warm_up else 0))


def folder_files(folder: Path) -> list[Path]:
    """The files that `write_folder` writes."""
    return [folder / name for name in (DIFFRACTION_NAME, PRODUCT_NAME, SETTINGS_NAME)]


def write_folder(scan: Scan, folder: Path) -> None:
    """Write a scan with the client's own settings, except for the size of the patterns.

    Raises:
        OutputError: it cannot be written there.
    """
    write_workflow_directory(scan, folder)
    settings = ClientSettings()
    settings.data.N = scan.patch_px
    write_settings(settings, folder / SETTINGS_NAME)


def leave_model(result: TrainingResult, folder: Path) -> Path:
    """Copy the best checkpoint to where a workflow directory has its model; returns the copy."""
    path = folder / MODEL_NAME
    with result.best.open("rb") as source, write_atomically(path) as target:
        shutil.copyfileobj(source, target)
    return path
