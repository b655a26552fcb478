"""The manifest of a version: its files with their checksums, and what its network is and was trained on."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ptycho_torch.errors import RegistryError
from ptycho_torch.export.names import EXAMPLE_NAME
from ptycho_torch.models.archive import BUNDLE_NAME
from ptycho_torch.runtime.run_record import hash_file
from ptycho_torch.storage.untrusted import abbreviate, explain_damage

MANIFEST_NAME = "manifest.json"
FORMAT = 1
_KIND = "manifest of a model"
_LARGEST_BYTES = 2**20
_LARGEST_FILE = 2**32
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class StoredFile:
    """A file of a version.

    Attributes:
        size: its bytes.
        sha256: its checksum.
    """

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a version consists of.

    Attributes:
        files: the files beside the manifest, by name.
        weights_sha256: checksum of the network's weights and probes, whatever file they are in.
        network: what the network is: kind, side of the patterns, weights, steps.
        data: names and checksums of the files that it was trained on.
        seed: seed of its training.
        metrics: figures of its training, and of its outputs for the test tensors.
        versions: versions of the software that trained it, or else that registered it.
    """

    files: Mapping[str, StoredFile]
    weights_sha256: str
    network: Mapping[str, str | int]
    data: tuple[tuple[str, str], ...]
    seed: int
    metrics: Mapping[str, float]
    versions: Mapping[str, str]

    network_name = BUNDLE_NAME
    example_name = EXAMPLE_NAME

    def to_bytes(self) -> bytes:
        """The content of its file; the same manifest gives the same bytes."""
        values = {"format": FORMAT, **asdict(self), "data": [list(entry) for entry in self.data]}
        return (json.dumps(values, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def list_files(folder: Path) -> dict[str, StoredFile]:
    """List the files of a version in a folder, without the manifest."""
    names = (BUNDLE_NAME, EXAMPLE_NAME)
    return {name: StoredFile((folder / name).stat().st_size, hash_file(folder / name)) for name in names}


def open_version(folder: Path, manifest_sha256: str) -> Manifest:
    """Read the manifest in the folder of a version, and check all files that it lists.

    Args:
        folder: the folder.
        manifest_sha256: checksum of the manifest.

    Raises:
        RegistryError: a file is missing or was changed.
    """
    manifest = read_manifest(folder / MANIFEST_NAME, manifest_sha256)
    for name, stored in manifest.files.items():
        path = folder / name
        with explain_damage(path, "file of a model", RegistryError):
            if path.stat().st_size != stored.size or hash_file(path) != stored.sha256:
                raise RegistryError(f"{path}: was changed after it was registered; its checksum differs")
    return manifest


def read_manifest(path: Path, sha256: str) -> Manifest:
    """Read a manifest as an untrusted file.

    Args:
        path: the file.
        sha256: its checksum.

    Raises:
        RegistryError: it is missing, was changed, or is of another format.
    """
    with explain_damage(path, _KIND, RegistryError), path.open("rb") as file:
        content = file.read(_LARGEST_BYTES + 1)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise RegistryError(f"{path}: was changed after it was registered; its checksum differs")
        values = json.loads(content)
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise RegistryError(f"{path}: is not a manifest of format {FORMAT}, the supported one")
        return _Reader(values).read()


class _Reader:
    """Reads the values of a manifest, whose types are checked one by one."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def read(self) -> Manifest:
        files = {name: _read_file(name, entry) for name, entry in self._take("files", dict).items()}
        if files.keys() != {BUNDLE_NAME, EXAMPLE_NAME}:
            raise ValueError(f"its files are not {BUNDLE_NAME} and {EXAMPLE_NAME}")
        data = tuple((str(name), str(sha256)) for name, sha256 in self._take("data", list))
        metrics = {str(name): float(value) for name, value in self._take("metrics", dict).items()}
        if not all(map(math.isfinite, metrics.values())):
            raise ValueError("its metrics are not finite")
        return Manifest(
            files=files,
            weights_sha256=self._take("weights_sha256", str),
            network={str(name): value for name, value in self._take("network", dict).items()},
            data=data,
            seed=self._take("seed", int),
            metrics=metrics,
            versions={str(name): str(value) for name, value in self._take("versions", dict).items()},
        )

    def _take(self, name: str, kind: type) -> Any:  # noqa: ANN401 - of the kind that is asked for
        value = self._values.get(name)
        if type(value) is not kind:
            raise ValueError(f"its {name} is {type(value).__name__}, not {kind.__name__}")
        return value


def _read_file(name: str, entry: object) -> StoredFile:
    size, sha256 = (entry.get("size"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
    if type(size) is not int or not 0 < size <= _LARGEST_FILE or not isinstance(sha256, str):
        raise ValueError(f"the size of {abbreviate(name)} is unusable")
    if not _HASH.fullmatch(sha256):
        raise ValueError(f"the checksum of {abbreviate(name)} is unusable")
    return StoredFile(size, sha256)
