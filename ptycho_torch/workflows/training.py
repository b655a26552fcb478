"""From scans to a trained network in a folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho_torch.config import Experiment
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import CheckpointError
from ptycho_torch.models.bundle import save_bundle
from ptycho_torch.models.checkpoint import TrainedNetwork, load_network
from ptycho_torch.models.record import find_whole, set_aside
from ptycho_torch.runtime.interrupts import Interrupted
from ptycho_torch.runtime.launch import launch
from ptycho_torch.runtime.progress import Stages
from ptycho_torch.runtime.ranks import Ranks, describe_scan, find_ranks, is_launched, join_ranks
from ptycho_torch.runtime.run_record import RunRecord, check_run
from ptycho_torch.runtime.trackers import require_trackers
from ptycho_torch.storage.locking import lock_folder
from ptycho_torch.storage.writing import check_folder, prepare_folder, remove_left
from ptycho_torch.training.bootstrap import bootstrap_probes
from ptycho_torch.training.check import check_settings
from ptycho_torch.training.datamodule import ScanDataModule
from ptycho_torch.training.fit import CHECKPOINT_FOLDER, TrainingResult, fit
from ptycho_torch.training.hardware import check_groups

_log = logging.getLogger(__name__)

# function of the network that returns the parameters of its bundle
Params = Callable[[TrainedNetwork], Mapping[str, Any]]


def train_network(
    scans: Sequence[Scan],
    output_dir: Path | str,
    experiment: Experiment | None = None,
    *,
    device: str = "auto",
    overwrite: bool = False,
    resume: bool = False,
    track: bool = True,
    inputs: Sequence[Path] = (),
    options: Mapping[str, Any] | None = None,
    progress: Stages | None = None,
    params: Mapping[str, Any] | Params | None = None,
) -> TrainingResult:
    """Find the probes, train a network, and write checkpoints, index state, losses, a record and a bundle to a folder.

    With several `TrainerSettings.devices`, this process starts the others, unless torchrun or a scheduler did; a script
    then needs `if __name__ == "__main__":`, since every process imports it.

    Args:
        scans: one or more scans with patterns of one size.
        output_dir: new or empty folder, unless `overwrite` or `resume`.
        experiment: all settings.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        overwrite: whether to replace an earlier run in the folder.
        resume: whether to resume an interrupted or shorter run in the folder from its last checkpoint.
        track: whether MLflow may be used; MLFLOW_TRACKING_URI can ask for it as well as the settings.
        inputs: the scans' files, for the record.
        options: how the run was asked for, as plain values, for the record.
        progress: shows the refinement of each probe; if given, Lightning shows its own bar as well.
        params: the flat parameters of the bundle, or a function of the network.

    Raises:
        ConfigError: a setting or the device is unusable.
        DataError: a scan has no probe, or no true object although that is the target.
        OutputError: the folder is in use or cannot be written.
        MissingExtraError: a tracker is not installed.
        CheckpointError: there is no run to resume, or it has other settings or scans.
        DivergenceError: the loss became non-finite.
        RankError: a process was lost, or differs from the others.
        Interrupted: a signal ended the training, which can be resumed.
    """
    experiment = experiment or Experiment()
    folder, ranks = Path(output_dir), find_ranks(experiment.trainer)
    place = _check(scans, experiment, device, ranks, track=track)
    if resume:
        checkpoint, probes, experiment = _find_start(folder, scans, experiment, ranks)
    else:
        checkpoint, probes = None, None
        if ranks.is_first:
            check_folder(folder, overwrite=overwrite)
    if not ranks.started:
        asked = {"overwrite": overwrite, "resume": resume, "track": track, "inputs": inputs, "options": options}
        asked |= {"device": device, "progress": progress, "params": params}
        return launch(ranks, train_network, scans, folder, experiment, answers_signals=True, **asked)
    with join_ranks(ranks, _describe(experiment, scans)), lock_folder(folder) if ranks.is_first else nullcontext():
        record = None
        if ranks.is_first:
            if resume:
                remove_left(folder)
                set_aside(folder / CHECKPOINT_FOLDER, checkpoint)
            else:
                prepare_folder(folder, overwrite=overwrite)
            record = RunRecord(folder, "train", experiment.to_dict(), inputs, options=options)
        if probes is None:
            probes = bootstrap_probes(scans, experiment, place, progress, ranks)
        bar = progress is not None
        try:
            result = fit(
                scans, probes, experiment, folder, device=place, ranks=ranks, resume=checkpoint, track=track, bar=bar
            )
        except Interrupted as interruption:
            if record:
                record.finish(status="interrupted", signal=interruption.signal_name)
            raise
        if record:
            trained = load_network(result.last)
            parameters = params(trained) if callable(params) else params or {}
            save_bundle(trained, folder, parameters, overwrite=True)
            values = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(result).items()}
            record.finish(results=values)
    return result


def _check(scans: Sequence[Scan], experiment: Experiment, device: str, ranks: Ranks, *, track: bool) -> torch.device:
    """Check scans, settings and hardware before anything is computed; return the device."""
    if not is_launched():
        for section in (experiment.model, experiment.training, experiment.trainer, experiment.tracking):
            section.warn_unused()
        require_trackers(experiment.tracking, mlflow=track)
    place = check_settings(experiment, scans[0].patch_px, device)
    for scan in scans:
        scan.require_probe()
        if experiment.training.target == "object":
            scan.require_object()
    if ranks.size > 1 and not is_launched():
        check_groups(ScanDataModule(scans, experiment.training), ranks)
    return place


def _describe(experiment: Experiment, scans: Sequence[Scan]) -> dict[str, object]:
    """What all processes of a training must have in common."""
    sections = experiment.to_dict().items()
    settings = {f"{section}.{name}": value for section, values in sections for name, value in values.items()}
    return settings | {f"scan {number}": describe_scan(scan) for number, scan in enumerate(scans)}


class _Start(NamedTuple):
    """What a training is resumed from: no checkpoint and no probes if it has saved nothing yet."""

    checkpoint: Path | None
    probes: list[NDArray[np.complex64]] | None
    experiment: Experiment


def _find_start(folder: Path, scans: Sequence[Scan], experiment: Experiment, ranks: Ranks) -> _Start:
    """Find the newest whole checkpoint of a run, which must have had the same scans and settings."""
    check_run(folder)
    found = find_whole(folder / CHECKPOINT_FOLDER, load_network)
    if found is None:
        if ranks.is_first:
            _log.warning("%s: nothing was saved yet; the training starts from its beginning", folder)
        return _Start(None, None, experiment)
    checkpoint, trained = found
    # a batch size that was searched for is kept
    size = trained.experiment.training.batch_size if experiment.trainer.find_batch_size else None
    training = replace(experiment.training, batch_size=size or experiment.training.batch_size)
    asked, before = (
        replace(settings, epochs=1, steps=None, patience=1, max_minutes=None)
        for settings in (training, trained.experiment.training)
    )
    if trained.experiment.model != experiment.model or asked != before:
        raise CheckpointError(
            f"{checkpoint}: was trained with other settings; only epochs, steps, patience and max_minutes may "
            "change on resuming"
        )
    if len(trained.probes) != len(scans) or trained.patch_px != scans[0].patch_px:
        raise CheckpointError(f"{checkpoint}: was trained on other scans")
    return _Start(checkpoint, list(trained.probes), replace(experiment, training=training))
