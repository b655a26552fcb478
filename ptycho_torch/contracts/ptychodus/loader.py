"""The client's data: scans to train on with a run folder of their own, or one scan to reconstruct."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from ptycho_torch.contracts.ptychodus.configs import DataConfig
from ptycho_torch.contracts.ptychodus.lightning_module import plain
from ptycho_torch.contracts.ptychodus.model import ConfigManager
from ptycho_torch.contracts.ptychodus.placement import ClientCanvas
from ptycho_torch.contracts.ptychodus.preparation import PreparedTraining, prepare
from ptycho_torch.contracts.ptychodus.scans import read_training_scans, scan_in_memory
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import OutputError
from ptycho_torch.runtime.device import find_device
from ptycho_torch.storage.writing import write_json
from ptycho_torch.training.datamodule import ScanDataModule

_log = logging.getLogger(__name__)


class DataloaderFormats(Enum):
    """Ways of feeding a trainer; there is one."""

    LIGHTNING = "lightning_only_module"


@dataclass(frozen=True)
class ScanInMemory:
    """A scan to reconstruct and the array that the client expects of it."""

    scan: Scan
    place: ClientCanvas


class PtychoDataLoader:
    """Scans to train on from a folder, with a run folder of their own; or, by `from_np`, one scan to reconstruct.

    Attributes:
        output_dir: the run folder.
        prepared: what to train on, which the manager gets too.
    """

    def __init__(
        self,
        data_dir: Path | str,
        config_manager: ConfigManager,
        data_format: DataloaderFormats = DataloaderFormats.LIGHTNING,
        output_dir: Path | str = "training_outputs",
    ) -> None:
        """Read the folder; nothing is written where that fails.

        Raises:
            ConfigError: a configuration cannot be used.
            ScanFileError: the folder holds no usable scan.
            DataError: the data do not make a scan, or lack labels.
            OutputError: the run folder cannot be made.
        """
        DataloaderFormats(data_format)
        asked = config_manager.asked
        whole = read_training_scans(Path(data_dir))
        _settle_size(config_manager.data_config, whole[0].patch_px)
        scans, experiment = prepare(whole, asked)
        data = ScanDataModule(scans, experiment.training)
        self.prepared = PreparedTraining(scans, experiment, _device(asked.device), data)
        self.output_dir = _claim_run_folder(Path(output_dir))
        for name, config in config_manager.configs.items():
            write_json(plain(config), self.output_dir / "configs" / f"{name}.json")
        config_manager.stored_as, config_manager.prepared = whole[0].stored_as, self.prepared

    @staticmethod
    def from_np(
        diff_patterns: NDArray[Any],
        probe: NDArray[Any] | None,
        positions: NDArray[Any],
        config_manager: ConfigManager,
    ) -> ScanInMemory:
        """One scan to reconstruct, out of the client's arrays.

        Args:
            diff_patterns: (pattern, N, N) counts.
            probe: (mode, N, N).
            positions: (pattern, 2) row and column in pixels of the client's object array.
            config_manager: configurations of the loaded model.

        Raises:
            DataError: the arrays do not make a scan.
        """
        return ScanInMemory(*scan_in_memory(diff_patterns, probe, positions, config_manager.stored_as))


def _settle_size(data: DataConfig, patch_px: int) -> None:
    if patch_px != data.N:
        _log.warning("DataConfig.N is %d; the patterns have %d px, which counts (setting model_size)", data.N, patch_px)
        data.N = patch_px


def _device(name: str) -> torch.device:
    if name.startswith("cuda") and not torch.cuda.is_available():
        _log.warning("TrainingConfig.device is %r and there is no GPU; the CPU trains", name)
        return torch.device("cpu")
    return find_device(name)


def _claim_run_folder(parent: Path) -> Path:
    """A new folder named by the time; a number is added where another run has the same second."""
    name = f"run_{datetime.now():%Y%m%d_%H%M%S}"
    number = 1
    try:
        while True:
            folder = parent / (name if number == 1 else f"{name}-{number}")
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                number += 1
            else:
                return folder
    except OSError as error:
        raise OutputError(f"{parent}: cannot be written ({error.strerror or error})") from error
