"""Where the files of versions are: beside a SQLite file, or among the artifacts of a server."""

from __future__ import annotations

import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho_torch.errors import OutputError, RegistryError
from ptycho_torch.registry.manifest import MANIFEST_NAME, Manifest, open_version, read_manifest
from ptycho_torch.registry.stage import Staged
from ptycho_torch.registry.version import Version
from ptycho_torch.runtime.mlflow_place import MlflowPlace

if TYPE_CHECKING:
    from mlflow import MlflowClient

FOLDER_NAME = "mlmodels"
_PART = ".part"
_ARTIFACTS = "model"
_EXPERIMENT = "ptycho_torch models"
_SUM_LENGTH = 16
_CACHE = "XDG_CACHE_HOME"


@dataclass(frozen=True)
class LocalStore:
    """Files in folders `mlmodels/NAME/CHECKSUM/` beside a SQLite file.

    The folder of a version follows from its name and checksum, so that all of it can be moved to another place.
    """

    root: Path

    def keep(self, client: MlflowClient, name: str, staged: Staged) -> tuple[str, str | None]:
        """Copy the files of a version to their place, all or none; returns its address, and no run of MLflow."""
        place, part = self._find_folder(name, staged.manifest_sha256), self.root / f".{uuid.uuid4().hex}{_PART}"
        try:
            shutil.copytree(staged.folder, part)
            for file in part.iterdir():
                _flush(file)
            if place.is_dir():
                # left by a process that ended before the version was registered, or damaged
                shutil.rmtree(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            part.rename(place)
            _flush(place.parent)
        except OSError as error:
            raise OutputError(f"{place}: cannot be written ({error.strerror or error})") from error
        return place.as_uri(), None

    def fetch(self, client: MlflowClient, version: Version) -> tuple[Path, Manifest]:
        """Find the folder of a version and check its files."""
        folder = self._find_folder(version.name, version.manifest_sha256)
        return folder, open_version(folder, version.manifest_sha256)

    def _find_folder(self, name: str, manifest_sha256: str) -> Path:
        return self.root / name / manifest_sha256[:_SUM_LENGTH]


@dataclass(frozen=True)
class ServerStore:
    """Files among the artifacts of a server, copied to a cache of this user when they are needed."""

    place: MlflowPlace

    def keep(self, client: MlflowClient, name: str, staged: Staged) -> tuple[str, str | None]:
        """Send the files to the server as those of a run; returns their address and the run."""
        found = client.get_experiment_by_name(_EXPERIMENT)
        experiment = found.experiment_id if found else client.create_experiment(_EXPERIMENT)
        run = client.create_run(experiment, run_name=name)
        for metric, value in staged.manifest.metrics.items():
            client.log_metric(run.info.run_id, metric, value)
        client.log_artifacts(run.info.run_id, str(staged.folder), _ARTIFACTS)
        client.set_terminated(run.info.run_id)
        return f"{run.info.artifact_uri}/{_ARTIFACTS}", run.info.run_id

    def fetch(self, client: MlflowClient, version: Version) -> tuple[Path, Manifest]:
        """Find the files of a version in the cache, to which they are copied before, and check them."""
        folder = _find_cache() / version.manifest_sha256
        try:
            return folder, open_version(folder, version.manifest_sha256)
        except RegistryError:
            shutil.rmtree(folder, ignore_errors=True)
        part = folder.with_name(f".{uuid.uuid4().hex}{_PART}")
        try:
            part.mkdir(parents=True)
            manifest = self._copy(client, version, part)
            if not folder.exists():
                part.rename(folder)
        except OSError as error:
            if folder.is_dir():
                # another process has copied the same version
                return folder, open_version(folder, version.manifest_sha256)
            raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return folder, manifest

    def _copy(self, client: MlflowClient, version: Version, folder: Path) -> Manifest:
        """Copy the manifest, then the files that it lists if their sizes are those on the server."""
        sizes = {Path(entry.path).name: entry.file_size for entry in client.list_artifacts(version.run_id, _ARTIFACTS)}

        def copy(name: str, largest: int) -> None:
            if not 0 < (sizes.get(name) or 0) <= largest:
                raise RegistryError(f"{version}: the server has no usable {name} of it")
            found = client.download_artifacts(version.run_id, f"{_ARTIFACTS}/{name}", str(folder))
            Path(found).rename(folder / name)

        copy(MANIFEST_NAME, 2**20)
        manifest = read_manifest(folder / MANIFEST_NAME, version.manifest_sha256)
        for name, stored in manifest.files.items():
            copy(name, stored.size)
        return open_version(folder, version.manifest_sha256)


Store = LocalStore | ServerStore


def find_store(place: MlflowPlace) -> Store:
    """Find where the files of the versions in a registry are."""
    return LocalStore(place.database.parent / FOLDER_NAME) if place.database else ServerStore(place)


def remove_left(store: Store) -> None:
    """Remove what processes that were ended have left; other writers must be kept away."""
    if isinstance(store, LocalStore) and store.root.is_dir():
        for left in store.root.glob(f".*{_PART}"):
            shutil.rmtree(left, ignore_errors=True)


def _find_cache() -> Path:
    return Path(os.environ.get(_CACHE) or Path.home() / ".cache") / "ptycho_torch" / "models"


def _flush(path: Path) -> None:
    """Have the content of a file, or the entries of a folder, written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
