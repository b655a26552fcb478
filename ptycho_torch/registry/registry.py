"""The registry of models: versions of trained networks with aliases, in MLflow."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho_torch.config import RegistrySettings
from ptycho_torch.errors import RegistryError
from ptycho_torch.registry.manifest import Manifest
from ptycho_torch.registry.reference import CANDIDATE, Reference, check_name
from ptycho_torch.registry.stage import Staged, stage_version
from ptycho_torch.registry.store import find_store, remove_left
from ptycho_torch.registry.version import WEIGHTS, Version, make_tags
from ptycho_torch.runtime.mlflow_place import MlflowPlace

if TYPE_CHECKING:
    from mlflow import MlflowClient

_log = logging.getLogger(__name__)

_PAGE = 200


class Registry:
    """Models by name, each with numbered versions, some of which have aliases such as `production`.

    Writers take turns. A version is registered as a whole or not at all, also if a process is killed.

    Args:
        settings: where the registry is, and how long to wait for it.

    Raises:
        RegistryError: the place is neither a server nor a SQLite file.
        MissingExtraError: MLflow is not installed.
    """

    def __init__(self, settings: RegistrySettings | None = None) -> None:
        self.settings = settings or RegistrySettings()
        self.place = MlflowPlace.find(self.settings.registry, self.settings.wait_s)
        self._store = find_store(self.place)

    def register(
        self, name: str, source: Path | str, *, metrics: Mapping[str, float] | None = None, alias: str = CANDIDATE
    ) -> Version:
        """Register a trained network as the next version of a model; a network that it already has gets no other one.

        Args:
            name: name of the model, which is created if it does not exist.
            source: folder of a training, checkpoint, or bundle.
            metrics: further figures of the network, by name.
            alias: alias that the version gets.

        Raises:
            ModelFileError: the network is damaged.
            RegistryError: the name is unusable, the training has not finished, or the registry cannot be written.
            DivergenceError: the network's outputs are not finite.
            OutputError: a file cannot be written.
        """
        check_name(name)
        with tempfile.TemporaryDirectory(prefix="ptycho_torch_") as folder:
            staged = stage_version(Path(source), Path(folder), metrics)
            with self.writing() as client:
                version = self._find_same(client, name, staged) or self._add(client, name, staged)
                client.set_registered_model_alias(name, alias, str(version.number))
        return self.find(Reference(name, None, version.number))

    def list_names(self) -> list[str]:
        """Names of the models that have versions, in order of the alphabet."""
        return sorted({version.name for version in self.list_versions()})

    def list_versions(self, name: str | None = None) -> list[Version]:
        """Versions of a model, or of all models, by name and number.

        Raises:
            RegistryError: there is no model of this name.
        """
        if name is not None:
            check_name(name)
        with self.place.connect() as client:
            found = _read_versions(client, None if name is None else f"name='{name}'")
        if name is not None and not found:
            raise RegistryError(f"{self.place}: contains no model {name}; `ptycho-torch models list` lists them")
        return found

    def find(self, reference: Reference | str) -> Version:
        """Find a version by alias or number.

        Raises:
            RegistryError: there is no such version.
        """
        wanted = Reference.parse(reference) if isinstance(reference, str) else reference
        versions = self.list_versions(wanted.name)
        for version in versions:
            if version.number == wanted.number or (wanted.alias and wanted.alias in version.aliases):
                return version
        known = sorted({alias for version in versions for alias in version.aliases})
        raise RegistryError(
            f"{wanted}: does not exist; {wanted.name} has the versions {_list_numbers(versions)} and "
            + (f"the aliases {', '.join(known)}" if known else "no aliases")
        )

    def find_alias(self, name: str, alias: str) -> Version | None:
        """The version of a model that has an alias; None if none has it.

        Raises:
            RegistryError: there is no model of this name.
        """
        return next((version for version in self.list_versions(name) if alias in version.aliases), None)

    def fetch(self, version: Version) -> tuple[Path, Manifest]:
        """The folder with the files of a version, and its manifest, after their checksums were compared.

        Raises:
            RegistryError: a file is missing or was changed, or the server does not answer.
            OutputError: the files of a server cannot be copied to the cache of this user.
        """
        with self.place.connect() as client:
            return self._store.fetch(client, version)

    @contextmanager
    def writing(self) -> Iterator[MlflowClient]:
        """Keep other writers away, and give the client to write with.

        Raises:
            RegistryError: others keep writing, or the registry cannot be reached.
        """
        with self.place.lock():
            self.place.create_database()
            remove_left(self._store)
            with self.place.connect() as client:
                yield client

    def _find_same(self, client: MlflowClient, name: str, staged: Staged) -> Version | None:
        """The version with the same network, its files whole; None if there is none."""
        for version in _read_versions(client, f"name='{name}'"):
            if version.weights_sha256 != staged.manifest.weights_sha256:
                continue
            try:
                self._store.fetch(client, version)
            except RegistryError:
                if version.manifest_sha256 != staged.manifest_sha256 or self.place.database is None:
                    raise
                self._store.keep(client, name, staged)
                _log.warning("%s: its files were damaged, and have been written again", version)
            else:
                _log.info("%s: has this network already", version)
            return version
        return None

    def _add(self, client: MlflowClient, name: str, staged: Staged) -> Version:
        if not client.search_registered_models(f"name='{name}'"):
            client.create_registered_model(name)
        source, run_id = self._store.keep(client, name, staged)
        # the version and its tags are one transaction, before which nothing of it can be seen
        tags = make_tags(staged.manifest, staged.manifest_sha256)
        return Version.read(client.create_model_version(name, source, run_id, tags=tags), ())


def locate_network(reference: str, settings: RegistrySettings | None = None) -> Path:
    """The network file, a bundle, of a registered model, after its checksum was compared.

    Args:
        reference: the model, as `models:/NAME@ALIAS`.
        settings: where the registry is.

    Raises:
        RegistryError: there is no such version, its files are damaged, or the registry cannot be reached.
        MissingExtraError: MLflow is not installed.
        OutputError: the files of a server cannot be copied to the cache of this user.
    """
    registry = Registry(settings)
    version = registry.find(reference)
    _log.info("%s is %s", reference, version)
    folder, manifest = registry.fetch(version)
    return folder / manifest.network_name


def _read_versions(client: MlflowClient, condition: str | None) -> list[Version]:
    """Versions that this package registered, with their aliases."""
    found, token = [], None
    while True:
        page = client.search_model_versions(condition, max_results=_PAGE, page_token=token)
        found += [entry for entry in page if WEIGHTS in entry.tags]
        token = page.token
        if not token:
            break
    aliases: dict[tuple[str, int], list[str]] = {}
    for name in sorted({entry.name for entry in found}):
        for alias, number in client.get_registered_model(name).aliases.items():
            aliases.setdefault((name, int(number)), []).append(alias)
    versions = [
        Version.read(entry, tuple(sorted(aliases.get((entry.name, int(entry.version)), ())))) for entry in found
    ]
    return sorted(versions, key=lambda version: (version.name, version.number))


def _list_numbers(versions: list[Version]) -> str:
    return ", ".join(str(version.number) for version in versions)
