"""Bundles as archives: a trained network and its parameters in one file, read and written without torch.

`specs/persistence.md` says what is where.
"""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import Experiment
from ptycho_torch.errors import BundleError, ConfigError
from ptycho_torch.models.record import make_record, read_record
from ptycho_torch.storage.plain_pickle import dump_table, load_table
from ptycho_torch.storage.plain_zip import array_bytes, read_arrays, read_members, write_members
from ptycho_torch.storage.writing import write_whole

BUNDLE_NAME = "wts.h5.zip"
NETWORK_PREFIX = "generator."
WHOLE, NETWORK = "autoencoder", "diffraction_to_obj"
_MANIFEST, _RECORD, _PARAMS, _WEIGHTS = "manifest.dill", "record.json", "params.dill", "weights.npz"
_MEMBERS = (_MANIFEST, _RECORD, *(f"{model}/{part}" for model in (WHOLE, NETWORK) for part in (_PARAMS, _WEIGHTS)))
_LARGEST_RECORD_BYTES = 2**20

Weights = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Bundle:
    """What a bundle holds, known to fit together.

    Attributes:
        weights: of the network, their names beginning with `generator.`, and of the forward model: `probes`
            (scan, mode, h, w), `photons` (scan,), `good` (scan, h, w).
        params: the flat parameters.
        experiment: all settings of the training.
        patch_px: side of the patterns that the network takes.
        steps: optimiser steps that were taken.
    """

    MANIFEST: ClassVar[dict[str, Any]] = {"models": [WHOLE, NETWORK], "version": "2.0-pytorch"}

    weights: Weights
    params: Mapping[str, Any]
    experiment: Experiment
    patch_px: int
    steps: int

    def __post_init__(self) -> None:
        """Check that the parts belong together.

        Raises:
            BundleError: they do not.
        """
        side, none = self.patch_px, np.zeros(0)
        probes, photons, good = (self.weights.get(name, none) for name in ("probes", "photons", "good"))
        if probes.ndim != 4 or probes.shape[2:] != (side, side) or probes.dtype != np.complex64:
            raise BundleError(f"its probes are {probes.dtype} of shape {probes.shape}; its patterns have {side} px")
        if photons.shape != probes.shape[:1] or not (photons > 0).all():
            raise BundleError(f"its photons have shape {photons.shape}; a number is needed for each probe")
        if good.shape != (len(probes), side, side) or not np.isin(good, (0, 1)).all():
            raise BundleError(f"its good pixels have shape {good.shape}; zeros and ones of {side} px are needed")
        if not self.models[NETWORK]:
            raise BundleError("it holds no network")
        if self.params.get("N", side) != side:
            raise BundleError(f"its parameter N is {self.params['N']!r}; its patterns have {side} px")

    @property
    def manifest(self) -> dict[str, Any]:
        """What the archive says it is."""
        return self.MANIFEST

    @property
    def models(self) -> dict[str, Weights]:
        """Weights by model: the network with the forward model around it, and the network alone."""
        network = {
            name.removeprefix(NETWORK_PREFIX): value
            for name, value in self.weights.items()
            if name.startswith(NETWORK_PREFIX)
        }
        return {WHOLE: self.weights, NETWORK: network}


def bundle_file(path: Path | str) -> Path:
    """The file of a bundle that is named by its file or its folder."""
    path = Path(path)
    return path / BUNDLE_NAME if path.is_dir() else path


def open_bundle(path: Path | str) -> Bundle:
    """Read a bundle; nothing in it is run, and nothing that it claims is believed.

    Args:
        path: the file, or the folder that holds `wts.h5.zip`.

    Raises:
        BundleError: it is missing, damaged, unsafe, of another version, or contradicts itself.
    """
    file = bundle_file(path)
    if not file.is_file():
        raise BundleError(f"{file}: there is no such bundle")
    try:
        with file.open("rb") as stream:
            if not zipfile.is_zipfile(stream):
                raise BundleError("is truncated or not a bundle")
            return _bundle(read_members(stream))
    except OSError as error:
        raise BundleError(f"{file}: cannot be read ({error.strerror or error})") from error
    except (BundleError, ConfigError) as error:
        raise BundleError(f"{file}: {error}") from error


def write_bundle(bundle: Bundle, path: Path) -> None:
    """Write a bundle, whole or not at all; the same bundle gives the same bytes.

    Raises:
        BundleError: a parameter is not plain.
        OutputError: it cannot be written there.
    """
    record = make_record(bundle.experiment, bundle.patch_px) | {"steps": bundle.steps}
    with _about(_PARAMS):
        params = dump_table(bundle.params)
    members = {
        _MANIFEST: dump_table(bundle.manifest),
        _RECORD: json.dumps(record, indent=2, allow_nan=False).encode(),
    }
    for model, weights in bundle.models.items():
        members[f"{model}/{_PARAMS}"], members[f"{model}/{_WEIGHTS}"] = params, array_bytes(weights)
    with write_whole(path) as file:
        write_members(members, file)


def _bundle(members: Mapping[str, bytes]) -> Bundle:
    for name in (*members, *_MEMBERS):
        if name not in _MEMBERS:
            raise BundleError(f"holds {name[:60]!a}, which is no part of a bundle")
        if name not in members:
            raise BundleError(f"lacks {name}")
    manifest = _table(members, _MANIFEST)
    for key, wanted in Bundle.MANIFEST.items():
        if manifest.get(key) != wanted:
            raise BundleError(f"its {key} is {repr(manifest.get(key))[:60]}; this release reads {wanted!r}")
    record = _record(members[_RECORD])
    experiment, patch_px = read_record(record)
    whole, network = (_arrays(members, f"{model}/{_WEIGHTS}") for model in (WHOLE, NETWORK))
    params, others = (_table(members, f"{model}/{_PARAMS}") for model in (WHOLE, NETWORK))
    if params != others:
        raise BundleError("the parameters of its two models differ")
    bundle = Bundle(whole, params, experiment, patch_px, record["steps"])
    inner = bundle.models[NETWORK]
    if inner.keys() != network.keys() or not all(np.array_equal(inner[name], network[name]) for name in network):
        raise BundleError("the weights of its two models differ")
    return bundle


def _table(members: Mapping[str, bytes], name: str) -> dict[str, Any]:
    with _about(name):
        return load_table(members[name])


def _arrays(members: Mapping[str, bytes], name: str) -> dict[str, NDArray[Any]]:
    with _about(name):
        return read_arrays(members[name])


def _record(content: bytes) -> dict[str, Any]:
    try:
        record = json.loads(content) if len(content) <= _LARGEST_RECORD_BYTES else None
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{_RECORD} is no readable JSON ({type(error).__name__})") from error
    if not isinstance(record, dict):
        raise BundleError(f"{_RECORD} is no table of values")
    steps = record.get("steps")
    if type(steps) is not int or steps < 0:
        raise BundleError(f"{_RECORD}: its steps are {repr(steps)[:60]}; a number is needed")
    return record


@contextlib.contextmanager
def _about(name: str) -> Iterator[None]:
    """Say which member an error is about."""
    try:
        yield
    except BundleError as error:
        raise BundleError(f"{name} {error}") from error
