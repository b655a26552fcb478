"""Bundles as archives: a trained network and its parameters in one file, read and written without torch.

`specs/persistence.md` says what is where.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import Experiment
from ptycho_torch.errors import BundleError, ConfigError
from ptycho_torch.models.record import make_record, read_record
from ptycho_torch.storage.archive import pack_arrays, read_arrays, read_members, write_members
from ptycho_torch.storage.plain_pickle import dump_mapping, recover_mapping
from ptycho_torch.storage.untrusted import abbreviate, explain_damage
from ptycho_torch.storage.writing import write_atomically

BUNDLE_NAME = "wts.h5.zip"
NETWORK_PREFIX = "generator."
WHOLE, NETWORK = "autoencoder", "diffraction_to_obj"
_MANIFEST, _RECORD, _PARAMS, _WEIGHTS = "manifest.dill", "record.json", "params.dill", "weights.npz"
_MEMBERS = (_MANIFEST, _RECORD, *(f"{model}/{part}" for model in (WHOLE, NETWORK) for part in (_PARAMS, _WEIGHTS)))
_LARGEST_BYTES = 2**32
_TUPLE = "tuple"
_LARGEST_RECORD_BYTES = 2**20
_TYPES = ("float32", "complex64", "int64")

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
    with explain_damage(file, "bundle", BundleError), file.open("rb") as stream:
        members = read_members(stream, _LARGEST_BYTES)
    try:
        return _bundle(members)
    except (BundleError, ConfigError) as error:
        raise BundleError(f"{file}: {error}") from error


def write_bundle(bundle: Bundle, path: Path) -> None:
    """Write a bundle, whole or not at all; the same bundle gives the same bytes.

    Raises:
        BundleError: a parameter is not plain.
        OutputError: it cannot be written there.
    """
    with explain_damage(_PARAMS, "table of plain values", BundleError):
        params = dump_mapping(bundle.params)
        record = make_record(bundle.experiment, bundle.patch_px)
        record |= {"steps": bundle.steps, "params": _to_json(dict(sorted(bundle.params.items())))}
    members = {
        _MANIFEST: dump_mapping(bundle.manifest),
        _RECORD: json.dumps(record, indent=2, allow_nan=False).encode(),
    }
    for model, weights in bundle.models.items():
        members[f"{model}/{_PARAMS}"], members[f"{model}/{_WEIGHTS}"] = params, pack_arrays(weights)
    with write_atomically(path) as file:
        write_members(members, file)


def _bundle(members: Mapping[str, bytes]) -> Bundle:
    for name in (*members, *_MEMBERS):
        if name not in _MEMBERS:
            raise BundleError(f"holds {abbreviate(name)!r}, which is no part of a bundle")
        if name not in members:
            raise BundleError(f"lacks {name}")
    if members[_MANIFEST] != dump_mapping(Bundle.MANIFEST):
        raise BundleError(f"its {_MANIFEST} is not that of version {Bundle.MANIFEST['version']!r}, which is read here")
    record = _record(members[_RECORD])
    experiment, patch_px = read_record(record)
    whole, network = (_weights(members, f"{model}/{_WEIGHTS}") for model in (WHOLE, NETWORK))
    bundle = Bundle(whole, _params(members, record), experiment, patch_px, record["steps"])
    inner = bundle.models[NETWORK]
    if inner.keys() != network.keys() or not all(np.array_equal(inner[name], network[name]) for name in network):
        raise BundleError("the weights of its two models differ")
    return bundle


def _params(members: Mapping[str, bytes], record: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters in the record, known to be those of the two models.

    A record without them is of a bundle in which only the models held parameters.
    """
    name = f"{WHOLE}/{_PARAMS}"
    with explain_damage(name, "table of plain values", BundleError):
        params = _from_json(record["params"]) if "params" in record else recover_mapping(members[name])
        if not isinstance(params, dict):
            raise ValueError(f"{_RECORD} holds a {type(params).__name__} of parameters")
        wanted = dump_mapping(params)
    for model in (WHOLE, NETWORK):
        if members[f"{model}/{_PARAMS}"] != wanted:
            raise BundleError(f"{model}/{_PARAMS} does not hold the parameters in {_RECORD}")
    return params


def _weights(members: Mapping[str, bytes], name: str) -> dict[str, NDArray[Any]]:
    with explain_damage(name, "NPZ file of weights", BundleError):
        arrays = read_arrays(io.BytesIO(members[name]), _LARGEST_BYTES)
        if not arrays:
            raise ValueError("it holds no arrays")
        for key, array in arrays.items():
            if array.dtype not in map(np.dtype, _TYPES):
                raise ValueError(f"{abbreviate(key)} is of type {array.dtype.str!r}; {', '.join(_TYPES)} are read")
            if array.size == 0 or not np.isfinite(array).all():
                raise ValueError(f"{abbreviate(key)} is empty or not finite")
    return arrays


def _record(content: bytes) -> dict[str, Any]:
    with explain_damage(_RECORD, "JSON file", BundleError):
        if len(content) > _LARGEST_RECORD_BYTES:
            raise ValueError(f"it is larger than {_LARGEST_RECORD_BYTES // 2**20} MiB")
        record = json.loads(content)
    if not isinstance(record, dict):
        raise BundleError(f"{_RECORD} is no table of values")
    steps = record.get("steps")
    if type(steps) is not int or steps < 0:
        raise BundleError(f"{_RECORD}: its steps are {repr(steps)[:60]}; a number is needed")
    return record


def _to_json(value: Any) -> Any:  # noqa: ANN401 - any plain value
    """A plain value as JSON has it: a tuple becomes a table with the one name `tuple`.

    Raises:
        ValueError: a table has that one name by itself.
    """
    if isinstance(value, tuple):
        return {_TUPLE: [_to_json(part) for part in value]}
    if isinstance(value, list):
        return [_to_json(part) for part in value]
    if isinstance(value, dict):
        if value.keys() == {_TUPLE}:
            raise ValueError(f"a table whose only name is {_TUPLE!r} cannot be told from a tuple")
        return {name: _to_json(part) for name, part in value.items()}
    return value


def _from_json(value: Any) -> Any:  # noqa: ANN401 - any plain value
    """The plain value that was written by `_to_json`."""
    if isinstance(value, list):
        return [_from_json(part) for part in value]
    if isinstance(value, dict):
        if value.keys() == {_TUPLE}:
            return tuple(_from_json(part) for part in value[_TUPLE])
        return {name: _from_json(part) for name, part in value.items()}
    return value
