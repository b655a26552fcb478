"""The reference that scans are compared with: features of scans that a network was trained for, in a JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ptycho_torch.drift.features import FEATURES, ScanFeatures
from ptycho_torch.errors import DataError
from ptycho_torch.storage.untrusted import abbreviate, explain_damage
from ptycho_torch.storage.writing import write_json

_KIND, _VERSION = "ptycho_torch drift reference", 1
_LARGEST_BYTES = 2**26
_MOST_SCANS = 10_000
# values of a feature that are kept of a scan
_MOST_VALUES = 512
_DIGITS = 6


@dataclass(frozen=True, eq=False)
class Reference:
    """Features of scans that a network was trained for.

    Attributes:
        network: SHA-256 of the network's weights.
        scans: their features.
    """

    network: str
    scans: tuple[ScanFeatures, ...]

    @classmethod
    def of(cls, network: str, scans: Sequence[ScanFeatures]) -> Self:
        """Make a reference of features, of each of which at most 512 values a scan are kept, spread evenly.

        Raises:
            DataError: there are no scans.
        """
        if not scans:
            raise DataError("a reference needs the features of at least one scan")
        kept = [
            ScanFeatures(scan.name, {name: _thin(scan.values[name]) for name in FEATURES}, scan.spread, scan.misfit)
            for scan in scans
        ]
        return cls(network, tuple(kept))

    def write(self, path: Path) -> None:
        """Write the file, atomically.

        Raises:
            OutputError: it cannot be written.
        """
        scans = [
            {
                "name": scan.name,
                "spread": _round(scan.spread),
                "misfit": _round(scan.misfit),
                "values": {name: [_round(value) for value in scan.values[name]] for name in FEATURES},
            }
            for scan in self.scans
        ]
        write_json({"kind": _KIND, "version": _VERSION, "network": self.network, "scans": scans}, path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file, of which nothing is trusted.

        Raises:
            DataError: it is no reference of this version.
        """
        with explain_damage(path, "reference of drift", DataError), path.open("rb") as file:
            text = file.read(_LARGEST_BYTES + 1)
            if len(text) > _LARGEST_BYTES:
                raise ValueError(f"it is larger than {_LARGEST_BYTES // 2**20} MiB")
            content = json.loads(text)
            if not isinstance(content, dict) or content.get("kind") != _KIND:
                raise DataError(f"{path}: is not a reference of drift; `drift fit` writes one")
            if content.get("version") != _VERSION:
                version = abbreviate(str(content.get("version")))
                raise DataError(f"{path}: is of version {version}; this package reads version {_VERSION}")
            scans = content["scans"]
            if not isinstance(scans, list) or not 1 <= len(scans) <= _MOST_SCANS:
                raise ValueError("it has no list of scans")
            return cls(str(content["network"]), tuple(_read_scan(scan) for scan in scans))


def _read_scan(content: dict[str, Any]) -> ScanFeatures:
    values = {}
    for name in FEATURES:
        given = content["values"][name]
        if not isinstance(given, list) or not 1 <= len(given) <= _MOST_VALUES:
            raise ValueError(f"{name} of a scan is no list of numbers")
        values[name] = np.array([_check_number(value) for value in given])
    spread, misfit = _check_number(content["spread"]), _check_number(content["misfit"])
    if not (spread > 0 and misfit > 0):
        raise ValueError("spread or misfit of a scan is not positive")
    return ScanFeatures(str(content["name"]), values, spread, misfit)


def _check_number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 1e12:
        raise ValueError(f"{value!r:.40} is not a usable number")
    return float(value)


def _thin(values: Any) -> Any:  # noqa: ANN401 - an array
    chosen = np.linspace(0, len(values) - 1, min(len(values), _MOST_VALUES)).round().astype(int)
    return values[chosen]


def _round(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
