"""Bundles as archives: a trained network and its parameters in one file, read and written without torch.

`specs/persistence.md` specifies the members.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.config import Experiment
from ptycho_torch.errors import BundleError, ConfigError
from ptycho_torch.migrations.checkpoints import BUNDLE
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
Weight = TypeVar("Weight")


@dataclass(frozen=True, eq=False)
class Bundle:
    """The content of a bundle, checked for consistency.

    Attributes:
        manifest: names of the two models, and the version of the format.
        weights: those of the network, their names beginning with `generator.`, and those of the forward model: `probes`
            (scan, mode, h, w), `photons` (scan,), `good` (scan, h, w).
        params: the flat legacy parameters.
        experiment: all settings of the training.
        patch_px: side of the network's patterns.
        steps: optimiser steps taken.
    """

    manifest: ClassVar[dict[str, Any]] = {"models": [WHOLE, NETWORK], "version": "2.0-pytorch"}

    weights: Weights
    params: Mapping[str, Any]
    experiment: Experiment
    patch_px: int
    steps: int

    def __post_init__(self) -> None:
        """Check that the parts are consistent.

        Raises:
            BundleError: they are not.
        """
        side, missing = self.patch_px, np.zeros(0)
        probes, photons, good = (self.weights.get(name, missing) for name in ("probes", "photons", "good"))
        if probes.ndim != 4 or probes.shape[2:] != (side, side) or probes.dtype != np.complex64:
            raise BundleError(
                f"probes are {probes.dtype} of shape {probes.shape}; they must be complex64 of {side} × {side} px"
            )
        if photons.shape != probes.shape[:1] or not (photons > 0).all():
            raise BundleError(f"photons have shape {photons.shape}; they must be one positive number per scan")
        if good.shape != (len(probes), side, side) or not np.isin(good, (0, 1)).all():
            raise BundleError(f"good has shape {good.shape}; it must be zeros and ones, (scan, {side}, {side})")
        if not self.models[NETWORK]:
            raise BundleError("it contains no network")
        if self.params.get("N", side) != side:
            raise BundleError(f"its parameter N is {self.params['N']!r}; its patterns have {side} px")

    @property
    def models(self) -> dict[str, Weights]:
        """Weights by model: the network with the forward model around it, and the network alone."""
        return {WHOLE: self.weights, NETWORK: select_network(self.weights)}


def select_network(weights: Mapping[str, Weight]) -> dict[str, Weight]:
    """Select the network's weights, without the prefix of their names."""
    return {
        name.removeprefix(NETWORK_PREFIX): value for name, value in weights.items() if name.startswith(NETWORK_PREFIX)
    }


def locate_bundle(path: Path | str) -> Path:
    """Locate the file of a bundle, given the file or its folder."""
    path = Path(path)
    return path / BUNDLE_NAME if path.is_dir() else path


def open_bundle(path: Path | str) -> Bundle:
    """Read a bundle as an untrusted file: nothing in it is run, and its sizes and contents are checked.

    Args:
        path: the file, or the folder that contains `wts.h5.zip`.

    Raises:
        BundleError: it does not exist, or is damaged, unsafe, of another version, or inconsistent.
    """
    file = locate_bundle(path)
    with explain_damage(file, "bundle", BundleError), file.open("rb") as stream:
        members = read_members(stream, _LARGEST_BYTES)
    try:
        return _read_members(members, file)
    except (BundleError, ConfigError) as error:
        raise BundleError(f"{file}: {error}") from error


def write_bundle(bundle: Bundle, path: Path) -> None:
    """Write a bundle, atomically; the same bundle gives the same bytes.

    Raises:
        BundleError: a parameter is not a plain value.
        OutputError: the file cannot be written.
    """
    with explain_damage(_PARAMS, "mapping of plain values", BundleError):
        params = dump_mapping(bundle.params)
        record = make_record(bundle.experiment, bundle.patch_px) | BUNDLE.mark()
        record |= {"steps": bundle.steps, "params": _to_json(dict(sorted(bundle.params.items())))}
    members = {
        _MANIFEST: dump_mapping(bundle.manifest),
        _RECORD: json.dumps(record, indent=2, allow_nan=False).encode(),
    }
    for model, weights in bundle.models.items():
        members[f"{model}/{_PARAMS}"], members[f"{model}/{_WEIGHTS}"] = params, pack_arrays(weights)
    with write_atomically(path) as file:
        write_members(members, file)


def _read_members(members: Mapping[str, bytes], file: Path) -> Bundle:
    for name in (*members, *_MEMBERS):
        if name not in _MEMBERS:
            raise BundleError(f"contains {abbreviate(name)!r}, which is not part of a bundle")
        if name not in members:
            raise BundleError(f"lacks {name}")
    if members[_MANIFEST] != dump_mapping(Bundle.manifest):
        raise BundleError(f"its {_MANIFEST} is not that of version {Bundle.manifest['version']!r}, the supported one")
    record = _read_json(members[_RECORD])
    experiment, patch_px = read_record(record, file, BUNDLE)
    whole, network = (_read_weights(members, f"{model}/{_WEIGHTS}") for model in (WHOLE, NETWORK))
    bundle = Bundle(whole, _read_params(members, record), experiment, patch_px, record["steps"])
    inner = bundle.models[NETWORK]
    if inner.keys() != network.keys() or not all(np.array_equal(inner[name], network[name]) for name in network):
        raise BundleError("the weights of its two models differ")
    return bundle


def _read_params(members: Mapping[str, bytes], record: Mapping[str, Any]) -> dict[str, Any]:
    """Read the parameters in the record, and check that both models have the same.

    Bundles of an older release have none in the record, only in the models.
    """
    name = f"{WHOLE}/{_PARAMS}"
    with explain_damage(name, "mapping of plain values", BundleError):
        params = record["params"] if "params" in record else recover_mapping(members[name])
        if not isinstance(params, dict):
            raise ValueError(f"{_RECORD} contains a {type(params).__name__} of parameters")
        wanted = dump_mapping(params)
    for model in (WHOLE, NETWORK):
        if members[f"{model}/{_PARAMS}"] != wanted:
            raise BundleError(f"{model}/{_PARAMS} does not contain the parameters in {_RECORD}")
    return params


def _read_weights(members: Mapping[str, bytes], name: str) -> dict[str, NDArray[Any]]:
    with explain_damage(name, "NPZ file of weights", BundleError):
        arrays = read_arrays(io.BytesIO(members[name]), _LARGEST_BYTES)
        if not arrays:
            raise ValueError("it contains no arrays")
        for key, array in arrays.items():
            if array.dtype not in map(np.dtype, _TYPES):
                raise ValueError(f"{abbreviate(key)} is of type {array.dtype.str!r}, not one of {', '.join(_TYPES)}")
            if array.size == 0 or not np.isfinite(array).all():
                raise ValueError(f"{abbreviate(key)} is empty or not finite")
    return arrays


def _read_json(content: bytes) -> dict[str, Any]:
    with explain_damage(_RECORD, "JSON file", BundleError):
        if len(content) > _LARGEST_RECORD_BYTES:
            raise ValueError(f"it is larger than {_LARGEST_RECORD_BYTES // 2**20} MiB")
        record = json.loads(content, object_hook=_restore_tuple)
    if not isinstance(record, dict):
        raise BundleError(f"{_RECORD} is not a mapping")
    steps = record.get("steps")
    if type(steps) is not int or steps < 0:
        raise BundleError(f"{_RECORD}: steps is {repr(steps)[:60]}; it must be an integer of at least 0")
    return record


def _to_json(value: Any) -> Any:  # noqa: ANN401 - any plain value
    """Convert a plain value to JSON's types: a tuple becomes a mapping with the single key `tuple`.

    Raises:
        ValueError: a mapping already has that single key.
    """
    if isinstance(value, tuple):
        return {_TUPLE: [_to_json(part) for part in value]}
    if isinstance(value, list):
        return [_to_json(part) for part in value]
    if isinstance(value, dict):
        if value.keys() == {_TUPLE}:
            raise ValueError(f"a mapping with the single key {_TUPLE!r} would be read as a tuple")
        return {name: _to_json(part) for name, part in value.items()}
    return value


def _restore_tuple(mapping: dict[str, Any]) -> Any:  # noqa: ANN401 - json asks for any value
    is_tuple = mapping.keys() == {_TUPLE} and isinstance(mapping[_TUPLE], list)
    return tuple(mapping[_TUPLE]) if is_tuple else mapping
