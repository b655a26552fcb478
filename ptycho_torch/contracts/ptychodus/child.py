"""The steps of the client's two child processes: its data, its trainer and its inference."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.contracts.ptychodus.configs import DataConfig
from ptycho_torch.contracts.ptychodus.model import ConfigManager, PtychoModel, find_best_checkpoint
from ptycho_torch.contracts.ptychodus.scans import READING, ClientScan, PreparedTraining, check_patterns, prepare
from ptycho_torch.errors import OutputError
from ptycho_torch.formats import read_scans
from ptycho_torch.runtime.device import find_device
from ptycho_torch.runtime.logs import quiet_lightning
from ptycho_torch.storage.writing import write_json
from ptycho_torch.training.datamodule import ScanDataModule
from ptycho_torch.training.fit import CHECKPOINT_FOLDER, INDEX_NAME, build_trainer
from ptycho_torch.training.loop import run
from ptycho_torch.workflows.reconstruction import check_size, reconstruct_scan

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


class Trainer:
    """A Lightning trainer, ready to run; the client adds its callbacks to `_trainer` before it calls `train`."""

    def __init__(self, model: PtychoModel, dataloader: PtychoDataLoader) -> None:
        self._module, self._prepared, self._folder = model.model, dataloader.prepared, Path(dataloader.output_dir)
        quiet_lightning()
        self._trainer: Any = build_trainer(
            self._prepared.data,
            self._prepared.experiment,
            self._folder,
            device=self._prepared.device,
            track=False,
            bar=False,
        )

    @classmethod
    def _from_lightning(
        cls, model: PtychoModel, dataloader: PtychoDataLoader, orchestration: str, config_manager: ConfigManager
    ) -> Self:
        return cls(model, dataloader)

    def train(self, orchestration: str = "lightning", experiment_name: str = "") -> None:
        """Train in this process; everything is on disk afterwards.

        Raises:
            DivergenceError: the loss is no longer finite.
        """
        self._prepared.data.write_index(self._folder / INDEX_NAME)
        run(self._trainer, self._module, self._prepared.data, self._folder / CHECKPOINT_FOLDER)
        best = find_best_checkpoint(self._folder)
        _log.info("the best checkpoint is %s; copy it to model.ckpt beside the data to reconstruct with it", best)


class InferenceEngine:
    """Reconstructs scans with a loaded network."""

    def __init__(self, config_manager: ConfigManager, ptycho_model: PtychoModel) -> None:
        self._network = ptycho_model.network

    def predict_and_stitch(self, loader: ClientScan, *, polish: bool = True) -> NDArray[np.complex64]:
        """The object on the client's array, polished unless `polish` is off.

        Of the scan's own probe and the one that training found, the one with the lower residual is used. The solver
        starts from the network's object and from vacuum; the result with the lower residual is returned.

        Raises:
            CheckpointError: the network takes patterns of another size.
            DivergenceError: a value became non-finite.
        """
        network, scan = self._network, loader.scan
        check_size(network, scan)
        unpolished = replace(network.experiment.inference, polish=False)
        tries = [reconstruct_scan(network, scan, inference=unpolished, probe=probe) for probe in (None, scan.probe)]
        residuals = [result.metrics["network"]["R"] for result in tries]
        _log.info("R of the network's object with the probe of training %.4f, with the scan's own %.4f", *residuals)
        better = tries[int(np.argmin(residuals))]
        if not polish:
            return loader.cut(better.canvas)
        # whichever probe it starts from, as many modes are refined as the scan's own probe has
        refine = network.experiment.refine
        modes = max(refine.probe_modes, 1 if scan.probe is None else len(scan.probe))
        finished = reconstruct_scan(
            network,
            scan,
            inference=replace(network.experiment.inference, polish=True),
            polish=replace(refine, probe_modes=modes),
            probe=better.probe,
        )
        name = "network_polish" if finished.start == "network" else "flat_polish"
        _log.info("R after the physics solver %.4f", finished.metrics[name]["R"])
        return loader.cut(finished.canvas)
