"""Which version of a model is in production: promoted if it is healthy and not worse, and rolled back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ptycho_torch.errors import RegistryError
from ptycho_torch.models.archive import open_bundle
from ptycho_torch.models.bundle import build_bundled
from ptycho_torch.models.checkpoint import TrainedNetwork
from ptycho_torch.registry.comparison import Comparison
from ptycho_torch.registry.health import check_version
from ptycho_torch.registry.reference import CANDIDATE, PREVIOUS, PRODUCTION, Reference
from ptycho_torch.registry.registry import Registry
from ptycho_torch.registry.version import Version
from ptycho_torch.runtime.run_record import hash_file

# compares the version in production with another one
Compare = Callable[[Version, Version], Comparison]


@dataclass(frozen=True)
class Change:
    """A change of the version in production.

    Attributes:
        version: the one in production now.
        before: the one before; None if there was none.
    """

    version: Version
    before: Version | None


def promote(registry: Registry, version: Version, compare: Compare | None = None, *, force: bool = False) -> Change:
    """Put a version into production, and call the one before `previous`.

    Args:
        registry: the registry.
        version: the version.
        compare: compares the version in production with it; not needed if there is none.
        force: whether to promote it without a comparison, or although it is worse.

    Raises:
        RegistryError: it is not healthy, is worse than the version in production and not forced, is not compared with
            it, or another version was promoted during the comparison.
    """
    health = check_version(registry, version)
    if not health.passed:
        raise RegistryError(f"{version}: is not promoted, since its health check failed; {health.fault}")
    before = registry.find_alias(version.name, PRODUCTION)
    if before and before.number == version.number:
        return Change(health.version, before)
    if before and not force:
        if compare is None:
            raise RegistryError(
                f"{version}: is not promoted before it is compared with {before}, which is in production; name scans "
                "with --data, or add --force"
            )
        comparison = compare(before, version)
        if comparison.outcome.word == "worse":
            raise RegistryError(f"{version}: is not promoted; {comparison.verdict}; --force promotes it all the same")
    with registry.writing() as client:
        _require_same(registry, version.name, before)
        if before:
            client.set_registered_model_alias(version.name, PREVIOUS, str(before.number))
        client.set_registered_model_alias(version.name, PRODUCTION, str(version.number))
        if CANDIDATE in health.version.aliases:
            client.delete_registered_model_alias(version.name, CANDIDATE)
    return Change(registry.find(str(version)), before)


def roll_back(registry: Registry, name: str) -> Change:
    """Put the version before the one in production into production again.

    Raises:
        RegistryError: there is none, or it is not healthy.
    """
    before, wanted = (registry.find_alias(name, alias) for alias in (PRODUCTION, PREVIOUS))
    if wanted is None or (before and before.number == wanted.number):
        raise RegistryError(f"{name}: no version was in production before; name one for `ptycho-torch models promote`")
    health = check_version(registry, wanted)
    if not health.passed:
        raise RegistryError(f"{wanted}: is not put into production, since its health check failed; {health.fault}")
    with registry.writing() as client:
        _require_same(registry, name, before)
        client.set_registered_model_alias(name, PRODUCTION, str(wanted.number))
        client.delete_registered_model_alias(name, PREVIOUS)
    return Change(registry.find(Reference(name, None, wanted.number)), before)


def load_version(registry: Registry, version: Version) -> TrainedNetwork:
    """Build the network of a version after its checksums were compared.

    Raises:
        RegistryError: its files are damaged.
        BundleError: its network is unusable.
    """
    folder, manifest = registry.fetch(version)
    return build_bundled(open_bundle(folder / manifest.network_name), folder)


def find_seen(registry: Registry, version: Version, files: Iterable[Path]) -> list[str]:
    """Names of the files that a version was trained on, told by their contents.

    Raises:
        RegistryError: the files of the version are damaged.
    """
    _, manifest = registry.fetch(version)
    trained_on = {sha256 for _, sha256 in manifest.data}
    return [path.name for path in files if hash_file(path) in trained_on]


def _require_same(registry: Registry, name: str, before: Version | None) -> None:
    """Raise RegistryError if the version in production is not the one that was compared with."""
    now = registry.find_alias(name, PRODUCTION)
    if (now and now.number) != (before and before.number):
        raise RegistryError(f"{name}: another process has put {now} into production meanwhile; try again")
