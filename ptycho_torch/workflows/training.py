"""From scans to a trained network in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ptycho_torch.config import Experiment
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import CheckpointError
from ptycho_torch.models.bundle import save_bundle
from ptycho_torch.models.checkpoint import TrainedNetwork, load_network
from ptycho_torch.networks.build import build_network
from ptycho_torch.runtime.device import find_device
from ptycho_torch.runtime.progress import Stages
from ptycho_torch.runtime.run_record import RunRecord, check_run
from ptycho_torch.storage.writing import prepare_folder
from ptycho_torch.training.bootstrap import bootstrap_probes
from ptycho_torch.training.fit import LAST_NAME, TrainingResult, fit
from ptycho_torch.training.hardware import check_hardware

# function of the network, the folder of the results and the files of the scans that returns the parameters of a bundle
Params = Callable[[TrainedNetwork, Path, Sequence[Path]], Mapping[str, Any]]


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
    progress: Stages | None = None,
    params: Mapping[str, Any] | Params | None = None,
) -> TrainingResult:
    """Find the probes, train a network, and write checkpoints, index state, losses, a record and a bundle to a folder.

    Args:
        scans: one or more scans with patterns of one size.
        output_dir: new or empty folder, unless `overwrite` or `resume`.
        experiment: all settings.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        overwrite: whether to replace an earlier run in the folder.
        resume: whether to resume an interrupted or shorter run in the folder from its last checkpoint.
        track: whether to log to MLflow as well, if MLFLOW_TRACKING_URI is set.
        inputs: the scans' files, for the record.
        progress: shows the refinement of each probe; if given, Lightning shows its own bar as well.
        params: the flat parameters of the bundle, or a function of the network, the folder and the inputs.

    Raises:
        ConfigError: a setting or the device is unusable.
        DataError: a scan has no probe, or no true object although that is the target.
        OutputError: the folder is in use or cannot be written.
        CheckpointError: there is no run to resume, or it has other settings or scans.
        DivergenceError: the loss became non-finite.
    """
    experiment = experiment or Experiment()
    folder, place = Path(output_dir), find_device(device, experiment.trainer.accelerator)
    checkpoint = folder / "checkpoints" / LAST_NAME if resume else None
    for section in (experiment.model, experiment.training, experiment.trainer):
        section.warn_unused()
    check_hardware(experiment, place)
    build_network(experiment, scans[0].patch_px)
    for scan in scans:
        scan.require_probe()
        if experiment.training.target == "object":
            scan.require_object()
    if checkpoint is None:
        prepare_folder(folder, overwrite=overwrite)
        record = RunRecord(folder, "train", experiment.to_dict(), inputs)
        probes = bootstrap_probes(scans, experiment, place, progress)
    else:
        check_run(folder)
        trained = _load_earlier(checkpoint, scans, experiment)
        # a batch size that was searched for is kept
        size = trained.experiment.training.batch_size
        experiment = replace(experiment, training=replace(experiment.training, batch_size=size))
        probes = list(trained.probes)
        record = RunRecord(folder, "train", experiment.to_dict(), inputs)
    result = fit(
        scans, probes, experiment, folder, device=place, resume=checkpoint, track=track, bar=progress is not None
    )
    trained = load_network(result.last)
    save_bundle(trained, folder, params(trained, folder, inputs) if callable(params) else params or {}, overwrite=True)
    record.finish(
        results={key: str(value) if isinstance(value, Path) else value for key, value in asdict(result).items()}
    )
    return result


def _load_earlier(checkpoint: Path, scans: Sequence[Scan], experiment: Experiment) -> TrainedNetwork:
    """Load the network of a run to resume, which must have the same scans and settings."""
    trained = load_network(checkpoint)
    asked = replace(experiment.training, epochs=1, steps=None, max_minutes=None)
    if experiment.trainer.find_batch_size:
        asked = replace(asked, batch_size=trained.experiment.training.batch_size)
    before = replace(trained.experiment.training, epochs=1, steps=None, max_minutes=None)
    if trained.experiment.model != experiment.model or asked != before:
        raise CheckpointError(
            f"{checkpoint}: was trained with other settings; only epochs, steps and max_minutes may change on resuming"
        )
    if len(trained.probes) != len(scans) or trained.patch_px != scans[0].patch_px:
        raise CheckpointError(f"{checkpoint}: was trained on other scans")
    return trained
