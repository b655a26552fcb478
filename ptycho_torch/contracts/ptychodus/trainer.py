"""The client's trainer and its inference: the last steps of its two child processes."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.contracts.ptychodus.checkpoints import find_best_checkpoint
from ptycho_torch.contracts.ptychodus.loader import PtychoDataLoader
from ptycho_torch.contracts.ptychodus.model import ConfigManager, PtychoModel
from ptycho_torch.contracts.ptychodus.scans import ClientScan
from ptycho_torch.runtime.logs import quiet_lightning
from ptycho_torch.training.fit import CHECKPOINT_FOLDER, INDEX_NAME, build_trainer, run
from ptycho_torch.workflows.reconstruction import check_size, reconstruct_scan

_log = logging.getLogger(__name__)


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
