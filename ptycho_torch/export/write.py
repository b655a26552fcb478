"""Trained networks to exports."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch

from ptycho_torch.export import names
from ptycho_torch.export.card import make_card, write_text
from ptycho_torch.export.example import Example
from ptycho_torch.export.program import write_program
from ptycho_torch.models.bundle import save_bundle
from ptycho_torch.models.checkpoint import TrainedNetwork, list_weights, load_network, write_inference_checkpoint
from ptycho_torch.models.record import KEY, make_record
from ptycho_torch.runtime.run_record import hash_file
from ptycho_torch.storage.replacing import replace_folder
from ptycho_torch.storage.writing import write_atomically, write_json

MANIFEST_VERSION = 1


def export_network(
    network: TrainedNetwork | Path | str,
    folder: Path | str,
    *,
    card: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | Callable[[TrainedNetwork], Mapping[str, Any]] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a trained network as a folder in every usual form, with a model card and the checksum of each file.

    The folder appears when it is complete. Nothing in it names files, folders, servers or the machine of the training,
    but for the names of the data files, without their folders, in the model card.

    Args:
        network: a network, or the checkpoint to load it from.
        folder: a folder that does not exist yet, unless `overwrite`.
        card: the model card; by default one without a record of the training.
        params: the flat legacy parameters of the bundle, or a function of the network.
        overwrite: whether to replace an earlier export.

    Returns:
        The folder.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        ExportError: a form of the network gives another answer than the network.
        OutputError: the folder exists, or cannot be written.
    """
    trained = network if isinstance(network, TrainedNetwork) else load_network(network)
    described = dict(card or make_card(trained))
    with replace_folder(Path(folder), overwrite=overwrite, known_by=names.MANIFEST_NAME) as place:
        write_inference_checkpoint(trained, place / names.CHECKPOINT_NAME)
        save_bundle(trained, place / names.BUNDLE_NAME, (params(trained) if callable(params) else params) or {})
        _write_safetensors(trained, place / names.SAFETENSORS_NAME)
        example = Example.make(trained)
        example.write(place / names.EXAMPLE_NAME)
        write_program(trained.generator, example, place / names.PROGRAM_NAME)
        write_json(described, place / names.CARD_NAME)
        with write_atomically(place / names.CARD_TEXT_NAME) as file:
            file.write(write_text(described).encode())
        write_json(_make_manifest(place), place / names.MANIFEST_NAME)
    return Path(folder)


def _write_safetensors(trained: TrainedNetwork, path: Path) -> None:
    record = make_record(trained.experiment.without_places(), trained.patch_px)
    # one key: the library writes several in random order
    described = {KEY: json.dumps({**record, "steps": trained.steps})}
    weights = {name: value.contiguous() for name, value in list_weights(trained).items()}
    with write_atomically(path) as file:
        file.write(safetensors.torch.save(weights, described))


def _make_manifest(place: Path) -> dict[str, Any]:
    files = {name: {"bytes": (place / name).stat().st_size, "sha256": hash_file(place / name)} for name in names.FILES}
    return {"format": "ptycho_torch export", "version": MANIFEST_VERSION, "files": files}
