"""From a trained run to the files of a version in a folder."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ptycho_torch.config import Experiment, TrackingSettings
from ptycho_torch.errors import DivergenceError, RegistryError
from ptycho_torch.models.archive import BUNDLE_NAME, Bundle, locate_bundle, open_bundle, write_bundle
from ptycho_torch.models.bundle import build_bundled, save_bundle
from ptycho_torch.models.checkpoint import TrainedNetwork
from ptycho_torch.registry.manifest import MANIFEST_NAME, SAMPLE_NAME, Manifest, list_files
from ptycho_torch.registry.sample import make_sample, measure_figures
from ptycho_torch.runtime.run_record import find_versions, read_record
from ptycho_torch.storage.archive import pack_arrays
from ptycho_torch.storage.writing import RECORD_NAME, write_atomically

_CHECKPOINTS = "checkpoints"
# parameters of a bundle that name places of the machine it was trained on
_PLACES = ("train_data_file", "test_data_file", "output_dir", "data_source", "model_path")
# of the results of a training
_FIGURES = ("validation_loss",)
_MOST_INPUTS = 1000


@dataclass(frozen=True)
class Staged:
    """The files of a version before it is registered.

    Attributes:
        folder: where they are.
        manifest: what they are.
        manifest_sha256: checksum of the manifest's file.
    """

    folder: Path
    manifest: Manifest
    manifest_sha256: str


def stage_version(source: Path, folder: Path, metrics: Mapping[str, float] | None = None) -> Staged:
    """Write the files of a version: network without places, sample and manifest.

    The same network with the same metrics gives the same bytes on the same machine.

    Args:
        source: folder of a training, checkpoint, or bundle.
        folder: an existing folder.
        metrics: further figures of the network.

    Raises:
        ModelFileError: the network is damaged.
        RegistryError: the training has not finished, or a figure is not finite.
        DivergenceError: the network's outputs are not finite.
        OutputError: a file cannot be written.
    """
    record = _find_record(source)
    bundle = _open_network(source)
    trained = build_bundled(bundle, source)
    sample = make_sample(trained)
    figures = {**_collect_figures(record), **measure_figures(trained, sample), **(metrics or {})}
    if not all(map(math.isfinite, figures.values())):
        raise DivergenceError(f"{source}: the outputs or figures of the network are not finite; it is not registered")
    write_bundle(bundle, folder / BUNDLE_NAME)
    sample.write(folder / SAMPLE_NAME)
    manifest = Manifest(
        files=list_files(folder),
        weights_sha256=hashlib.sha256(pack_arrays(bundle.weights)).hexdigest(),
        network=_describe_network(trained),
        data=tuple(_list_data(record)),
        seed=trained.experiment.training.seed,
        metrics=dict(sorted(figures.items())),
        versions={str(name): str(value) for name, value in (record.get("versions") or find_versions()).items()},
    )
    content = manifest.to_bytes()
    with write_atomically(folder / MANIFEST_NAME) as file:
        file.write(content)
    return Staged(folder, manifest, hashlib.sha256(content).hexdigest())


def _open_network(source: Path) -> Bundle:
    """Read the network, without what tells where it was trained."""
    with tempfile.TemporaryDirectory() as folder:
        path = locate_bundle(source)
        if path.suffix != ".zip":
            # reading the bundle checks that the weights are finite
            path = save_bundle(source, Path(folder), {})
        bundle = open_bundle(path)
    params = {name: None if name in _PLACES else value for name, value in bundle.params.items()}
    experiment: Experiment = replace(bundle.experiment, tracking=TrackingSettings())
    return replace(bundle, params=params, experiment=experiment)


def _find_record(source: Path) -> dict[str, Any]:
    """The record of the training; empty if there is none beside the network.

    Raises:
        RegistryError: the training has not finished.
    """
    folder = source if source.is_dir() else source.parent
    if folder.name == _CHECKPOINTS:
        folder = folder.parent
    if not (folder / RECORD_NAME).is_file():
        return {}
    record = read_record(folder)
    if record.get("status") == "running":
        raise RegistryError(f"{folder}: its training has not finished; wait for its end, or resume it with --resume")
    return record


def _collect_figures(record: Mapping[str, Any]) -> dict[str, float]:
    results = record.get("results")
    if not isinstance(results, dict):
        return {}
    return {name: float(results[name]) for name in _FIGURES if isinstance(results.get(name), int | float)}


def _list_data(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names, without folders, and checksums of the files that a training has read."""
    entries = record.get("inputs")
    if not isinstance(entries, list):
        return []
    named = [entry for entry in entries[:_MOST_INPUTS] if isinstance(entry, dict)]
    return [(os.path.basename(str(entry.get("path", ""))), str(entry.get("sha256", ""))) for entry in named]


def _describe_network(trained: TrainedNetwork) -> dict[str, str | int]:
    weights = sum(value.numel() for value in trained.generator.parameters())
    kind = trained.experiment.model.network
    return {"network": kind, "patch_px": trained.patch_px, "weights": weights, "steps": trained.steps}
