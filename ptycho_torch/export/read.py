"""Exports as untrusted folders: every checksum is compared before a file is read, and nothing in them is run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ptycho_torch.errors import ExportError
from ptycho_torch.export import names
from ptycho_torch.export.example import Example
from ptycho_torch.export.program import load_program
from ptycho_torch.models.archive import open_bundle
from ptycho_torch.models.bundle import build_bundled
from ptycho_torch.models.checkpoint import TrainedNetwork, list_weights, load_network
from ptycho_torch.runtime.run_record import hash_file
from ptycho_torch.storage.untrusted import abbreviate, explain_damage

_FORMAT, _VERSION = "ptycho_torch export", 1
_LARGEST_TEXT_BYTES = 2**20
_LARGEST_BYTES = 2**36
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, eq=False)
class Export:
    """A network that was handed on.

    Attributes:
        folder: where it was read from.
        network: the network.
        card: the model card, plain values.
        example: inputs with the answer that the network gave when it was exported.
    """

    folder: Path
    network: TrainedNetwork
    card: Mapping[str, Any]
    example: Example


def open_export(folder: Path | str) -> Export:
    """Read an export after comparing the checksum of each of its files; its program is not run.

    Raises:
        ExportError: it is no export, or a file is missing or changed.
        CheckpointError: its checkpoint cannot be used.
    """
    folder = Path(folder)
    _compare(folder, _read_manifest(folder))
    network = load_network(folder / names.CHECKPOINT_NAME)
    return Export(folder, network, _read_json(folder / names.CARD_NAME), Example.read(folder / names.EXAMPLE_NAME))


def check_export(folder: Path | str, *, run_program: bool = False) -> dict[str, float]:
    """Check that all forms of an export contain the same network, and that it answers the test tensors as before.

    Args:
        folder: the export.
        run_program: whether to run its program as well, which is safe only if you trust its origin.

    Returns:
        The difference of each form's answer, as a share of the largest value.

    Raises:
        ExportError: it is no export, a file is missing or changed, or an answer differs.
        ModelFileError: a file cannot be used.
    """
    export = open_export(folder)
    place, wanted = export.folder, list_weights(export.network)
    bundled = build_bundled(open_bundle(place / names.BUNDLE_NAME), place / names.BUNDLE_NAME)
    _require_equal(list_weights(bundled), wanted, place / names.BUNDLE_NAME)
    _require_equal(_read_safetensors(place / names.SAFETENSORS_NAME), wanted, place / names.SAFETENSORS_NAME)
    found = {names.CHECKPOINT_NAME: export.example.check(export.network.generator, str(place / names.CHECKPOINT_NAME))}
    if run_program:
        program = load_program(place / names.PROGRAM_NAME)
        found[names.PROGRAM_NAME] = export.example.check(program, str(place / names.PROGRAM_NAME))
    return found


def is_export(folder: Path) -> bool:
    """Whether a folder looks like an export."""
    return (folder / names.MANIFEST_NAME).is_file()


def _read_manifest(folder: Path) -> Mapping[str, Any]:
    path = folder / names.MANIFEST_NAME
    if not path.is_file():
        raise ExportError(f"{folder}: is not an export, it contains no {names.MANIFEST_NAME}")
    manifest = _read_json(path)
    if manifest.get("format") != _FORMAT:
        raise ExportError(f"{path}: is not the manifest of an export of ptycho_torch")
    if manifest.get("version") != _VERSION:
        raise ExportError(f"{path}: its version is {repr(manifest.get('version'))[:60]}; it must be {_VERSION}")
    files = manifest.get("files")
    if not isinstance(files, dict) or set(files) != set(names.FILES):
        listed = ", ".join(names.FILES)
        raise ExportError(f"{path}: does not list the files of an export, {listed}")
    return files


def _compare(folder: Path, files: Mapping[str, Any]) -> None:
    """Compare size and checksum of every file; a link is no file of the export."""
    for name in names.FILES:
        path, entry = folder / name, files[name]
        digest = entry.get("sha256") if isinstance(entry, dict) else None
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise ExportError(f"{folder / names.MANIFEST_NAME}: has no SHA-256 for {name}")
        if path.is_symlink() or not path.is_file():
            raise ExportError(f"{path}: the file does not exist; copy the whole export again")
        size = path.stat().st_size
        if size != entry.get("bytes") or size > _LARGEST_BYTES:
            raise ExportError(f"{path}: has {size} bytes, not those of the manifest; copy the whole export again")
        if hash_file(path) != digest:
            raise ExportError(f"{path}: was changed since the export; copy the whole export again")


def _read_json(path: Path) -> dict[str, Any]:
    with explain_damage(path, "JSON file", ExportError), path.open("rb") as file:
        text = file.read(_LARGEST_TEXT_BYTES + 1)
        if len(text) > _LARGEST_TEXT_BYTES:
            raise ValueError(f"it is larger than {_LARGEST_TEXT_BYTES // 2**20} MiB")
        values = json.loads(text)
    if not isinstance(values, dict):
        raise ExportError(f"{path}: is not a mapping")
    return values


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with explain_damage(path, "safetensors file", ExportError):
            return safetensors.torch.load(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise ExportError(f"{path}: is not a readable safetensors file ({error!s:.100})") from error


def _require_equal(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: Path) -> None:
    for name in sorted(found.keys() | wanted.keys()):
        if name not in found or name not in wanted or not torch.equal(found[name], wanted[name]):
            raise ExportError(f"{path}: its {abbreviate(name)} is not that of {names.CHECKPOINT_NAME}")
