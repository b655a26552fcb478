"""A version of a registered model, as MLflow keeps it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from ptycho_torch.errors import RegistryError
from ptycho_torch.registry.manifest import Manifest
from ptycho_torch.storage.untrusted import abbreviate

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

# what the names of tags begin with that belong to this package
OWN = "ptycho_torch."
MANIFEST, WEIGHTS = f"{OWN}manifest", f"{OWN}weights"
_METRIC, _VERSION = "metric.", "version."
_HASH = re.compile(r"[0-9a-f]{64}")
_LONGEST_VALUE = 500


@dataclass(frozen=True)
class Version:
    """A version of a model.

    Attributes:
        name: name of the model.
        number: number of the version, from 1.
        aliases: its aliases, in order of the alphabet.
        created: when it was registered.
        manifest_sha256: checksum of its manifest, in which the checksums of its files stand.
        weights_sha256: checksum of its network's weights and probes.
        metrics: figures of its training, by name.
        tags: seed, data, sizes and versions, by name.
        source: where MLflow keeps its files.
        run_id: run of MLflow whose files they are; empty in a SQLite file.
    """

    name: str
    number: int
    aliases: tuple[str, ...]
    created: datetime
    manifest_sha256: str
    weights_sha256: str
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    source: str = field(repr=False)
    run_id: str

    def __str__(self) -> str:
        """Name and number."""
        return f"{self.name}/{self.number}"

    @classmethod
    def read(cls, found: ModelVersion, aliases: tuple[str, ...]) -> Self:
        """Read what MLflow keeps.

        Raises:
            RegistryError: it was not registered by this package.
        """
        tags = {str(name): str(value) for name, value in found.tags.items()}
        sums = {name: tags.get(name, "") for name in (MANIFEST, WEIGHTS)}
        if not all(map(_HASH.fullmatch, sums.values())):
            raise RegistryError(f"{abbreviate(found.name)}/{found.version}: was not registered by ptycho_torch")
        return cls(
            name=found.name,
            number=int(found.version),
            aliases=aliases,
            created=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
            manifest_sha256=sums[MANIFEST],
            weights_sha256=sums[WEIGHTS],
            metrics={
                name.removeprefix(_METRIC): number
                for name, value in tags.items()
                if name.startswith(_METRIC) and math.isfinite(number := _to_number(value))
            },
            tags={name: value for name, value in tags.items() if not name.startswith((OWN, _METRIC))},
            source=str(found.source),
            run_id=found.run_id or "",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "name": self.name,
            "version": self.number,
            "aliases": list(self.aliases),
            "registered": self.created.isoformat(timespec="seconds"),
            "weights_sha256": self.weights_sha256,
            "metrics": dict(self.metrics),
            "tags": dict(self.tags),
        }


def make_tags(manifest: Manifest, manifest_sha256: str) -> dict[str, str]:
    """The tags that a new version gets, all of them together with the version."""
    tags = {MANIFEST: manifest_sha256, WEIGHTS: manifest.weights_sha256}
    tags |= {_METRIC + name: repr(value) for name, value in manifest.metrics.items()}
    tags |= {_VERSION + name: value for name, value in manifest.versions.items()}
    tags |= {name: str(value) for name, value in manifest.network.items()}
    tags["seed"] = str(manifest.seed)
    if manifest.data:
        tags["data"] = ", ".join(f"{name} {sha256[:12]}" for name, sha256 in manifest.data)
    return {name: value[:_LONGEST_VALUE] for name, value in tags.items()}


def _to_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
