"""From a trained network to the files of a version in a folder."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ptycho_torch.errors import DivergenceError, RegistryError
from ptycho_torch.export.card import make_card
from ptycho_torch.export.example import Example
from ptycho_torch.export.names import EXAMPLE_NAME
from ptycho_torch.export.read import is_export, open_export
from ptycho_torch.models.archive import BUNDLE_NAME, Bundle, locate_bundle, open_bundle, write_bundle
from ptycho_torch.models.bundle import build_bundled, save_bundle
from ptycho_torch.models.checkpoint import TrainedNetwork
from ptycho_torch.registry.figures import measure_figures
from ptycho_torch.registry.manifest import MANIFEST_NAME, Manifest, list_files
from ptycho_torch.runtime.run_record import read_record
from ptycho_torch.storage.archive import pack_arrays
from ptycho_torch.storage.untrusted import explain_damage
from ptycho_torch.storage.writing import RECORD_NAME, write_atomically

_CHECKPOINTS = "checkpoints"
# parameters of a bundle that name places of the machine it was trained on
_PLACES = ("train_data_file", "test_data_file", "output_dir", "model_path")
# figures of a training by which networks are compared
_FIGURES = ("validation_loss",)
_MOST_FILES = 1000


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
    """Write the files of a version: network without places, test tensors and manifest.

    The same network with the same metrics gives the same bytes on the same machine.

    Args:
        source: folder of a training or of an export, checkpoint, or bundle.
        folder: an existing folder.
        metrics: further figures of the network.

    Raises:
        ModelFileError: the network is damaged.
        RegistryError: the training has not finished.
        DivergenceError: the network's outputs or a figure are not finite.
        OutputError: a file cannot be written.
    """
    record = _find_record(source)
    bundle = _open_network(source, folder)
    trained = build_bundled(bundle, source)
    card = open_export(source).card if is_export(source) else make_card(trained, record)
    example = Example.make(trained)
    with explain_damage(str(source), "description of a network", RegistryError):
        described = _read_card(card)
    described["metrics"] |= {**measure_figures(example, example.patches), **(metrics or {})}
    if not all(map(math.isfinite, described["metrics"].values())):
        raise DivergenceError(f"{source}: the outputs or figures of the network are not finite; it is not registered")
    write_bundle(bundle, folder / BUNDLE_NAME)
    example.write(folder / EXAMPLE_NAME)
    manifest = Manifest(
        files=list_files(folder),
        weights_sha256=hashlib.sha256(pack_arrays(bundle.weights)).hexdigest(),
        network=_describe_network(trained),
        seed=trained.experiment.training.seed,
        **described,
    )
    content = manifest.to_bytes()
    with write_atomically(folder / MANIFEST_NAME) as file:
        file.write(content)
    return Staged(folder, manifest, hashlib.sha256(content).hexdigest())


def _open_network(source: Path, folder: Path) -> Bundle:
    """Read the network, without what tells where it was trained."""
    path = locate_bundle(source)
    if path.suffix != ".zip":
        # reading the bundle checks that the weights are finite
        path = save_bundle(source, folder, {}, overwrite=True)
    bundle = open_bundle(path)
    params = {name: None if name in _PLACES else value for name, value in bundle.params.items()}
    return replace(bundle, params=params, experiment=bundle.experiment.without_places())


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


def _read_card(card: Mapping[str, Any]) -> dict[str, Any]:
    """Data, metrics and versions of a model card, which may come from elsewhere."""
    metrics, files = card["metrics"], card["data"]["files"][:_MOST_FILES]
    # without a record of the training, those that register it
    versions = card["versions"]["trained_with"] or card["versions"]["exported_with"]
    return {
        "data": tuple((str(entry["name"]), str(entry["sha256"])) for entry in files),
        "metrics": {name: float(metrics[name]) for name in _FIGURES if metrics.get(name) is not None},
        "versions": {str(name): str(value) for name, value in versions.items()},
    }


def _describe_network(trained: TrainedNetwork) -> dict[str, str | int]:
    weights = sum(value.numel() for value in trained.generator.parameters())
    kind = trained.experiment.model.network
    return {"network": kind, "patch_px": trained.patch_px, "weights": weights, "steps": trained.steps}
