"""The client's data: scans to train on with a run folder, or one scan to reconstruct."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from ptycho_torch.contracts.ptychodus.configs import DataConfig
from ptycho_torch.contracts.ptychodus.model import ConfigManager
from ptycho_torch.contracts.ptychodus.preparation import PreparedTraining, prepare
from ptycho_torch.contracts.ptychodus.scans import READING, ClientScan, check_patterns
from ptycho_torch.errors import OutputError
from ptycho_torch.formats import read_scans
from ptycho_torch.runtime.device import find_device
from ptycho_torch.storage.writing import write_json
from ptycho_torch.training.datamodule import ScanDataModule

_log = logging.getLogger(__name__)


class DataloaderFormats(Enum):
    """Formats of training data; there is one."""

    LIGHTNING = "lightning_only_module"


class PtychoDataLoader:
    """The scans of a folder to train on, with a new run folder; or, by `from_np`, one scan to reconstruct.

    Attributes:
        output_dir: the run folder.
        prepared: what to train on; the manager gets it too.
    """

    def __init__(
        self,
        data_dir: Path | str,
        config_manager: ConfigManager,
        data_format: DataloaderFormats = DataloaderFormats.LIGHTNING,
        output_dir: Path | str = "training_outputs",
    ) -> None:
        """Read exported files or, if there are none, a workflow directory; nothing is written if that fails.

        Raises:
            ConfigError: a configuration is unusable.
            ScanFileError: the folder contains no usable scan.
            DataError: the data do not make a scan, or lack labels.
            OutputError: the run folder cannot be made.
        """
        DataloaderFormats(data_format)
        asked = config_manager.asked
        whole = read_scans(Path(data_dir), READING)
        for scan in whole:
            check_patterns(scan.name, len(scan))
        _correct_size(config_manager.data_config, whole[0].patch_px)
        scans, experiment = prepare(whole, asked)
        data = ScanDataModule(scans, experiment.training)
        self.prepared = PreparedTraining(experiment, _find_device(asked.device), data)
        self.output_dir = _make_run_folder(Path(output_dir))
        for name, config in config_manager.configs.items():
            write_json(config, self.output_dir / "configs" / f"{name}.json")
        config_manager.stored_as, config_manager.prepared = whole[0].stored_as, self.prepared

    @staticmethod
    def from_np(
        diff_patterns: NDArray[Any],
        probe: NDArray[Any] | None,
        positions: NDArray[Any],
        config_manager: ConfigManager,
    ) -> ClientScan:
        """One scan to reconstruct; arrays and errors are those of `ClientScan.from_arrays`."""
        return ClientScan.from_arrays(diff_patterns, probe, positions, config_manager.stored_as)


def _correct_size(data: DataConfig, patch_px: int) -> None:
    if patch_px != data.N:
        _log.warning("DataConfig.N is %d; the patterns' %d px are used (setting model_size)", data.N, patch_px)
        data.N = patch_px


def _find_device(name: str) -> torch.device:
    if name.startswith("cuda") and not torch.cuda.is_available():
        _log.warning("TrainingConfig.device is %r and there is no GPU; training uses the CPU", name)
        return torch.device("cpu")
    return find_device(name)


def _make_run_folder(parent: Path) -> Path:
    """Make a folder named by the time, with a number if another run started in the same second."""
    name, number = f"run_{datetime.now():%Y%m%d_%H%M%S}", 1
    try:
        while True:
            folder = parent / (name if number == 1 else f"{name}-{number}")
            number += 1
            with suppress(FileExistsError):
                folder.mkdir(parents=True)
                return folder
    except OSError as error:
        raise OutputError(f"{parent}: cannot be written ({error.strerror or error})") from error
