"""Checkpoints as untrusted files: read without running anything in them, checked before use."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptycho_torch.config import Experiment
from ptycho_torch.errors import CheckpointError, ConfigError
from ptycho_torch.models.archive import NETWORK_PREFIX, select_network
from ptycho_torch.models.record import KEY, check_checkpoint, make_record, read_record
from ptycho_torch.networks.build import Generator, build_network
from ptycho_torch.storage.untrusted import explain_damage, summarise_error
from ptycho_torch.storage.writing import write_atomically

_DEEPEST = 20


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network with what it was trained on.

    Attributes:
        generator: the network, in evaluation mode on the CPU.
        experiment: all settings of its training.
        patch_px: side of its patterns.
        probes: (scan, mode, h, w) probe of each training scan, in √photons.
        photons: mean photons per pattern of each training scan, without its background.
        good: (scan, h, w) good detector pixels of each training scan.
        steps: optimiser steps taken.
        record: the plain values stored in its checkpoint; empty if it was not read from one.
    """

    generator: Generator
    experiment: Experiment
    patch_px: int
    probes: NDArray[np.complex64]
    photons: tuple[float, ...]
    good: NDArray[np.bool_]
    steps: int
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def first_probe(self) -> NDArray[np.complex64]:
        """Probe of the first training scan, without the empty modes that it has beside others with more."""
        probe = self.probes[0]
        return probe[np.abs(probe).any(axis=(1, 2))]

    def __reduce__(self) -> tuple[Any, ...]:
        """Send settings and weights to another process, which builds the network again."""
        weights = {name: value.numpy() for name, value in self.generator.state_dict().items()}
        values = (self.experiment, self.patch_px, self.probes, self.photons, self.good, self.steps, self.record)
        return _rebuild, (weights, *values)


def load_network(path: Path | str) -> TrainedNetwork:
    """Read a network from a checkpoint that was written on any machine.

    Raises:
        CheckpointError: the file does not exist, is damaged, contains code, or was not written by this package.
    """
    path = Path(path)
    content = read_checkpoint(path)
    record, weights = content.get(KEY), content.get("state_dict")
    if not isinstance(record, dict) or not isinstance(weights, dict):
        raise CheckpointError(f"{path}: is not a checkpoint of ptycho_torch; train one with: ptycho-torch train")
    try:
        found = assemble(*read_record(record, path), weights, int(content["global_step"]))
        return replace(found, record=record)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{path}: its content does not fit together ({summarise_error(error)})") from error


def list_weights(trained: TrainedNetwork) -> dict[str, Tensor]:
    """The tensors of a network by the names that files have for them, on the processor; `assemble` is the reverse."""
    weights = {NETWORK_PREFIX + name: value.cpu() for name, value in trained.generator.state_dict().items()}
    return weights | {
        "probes": torch.from_numpy(np.array(trained.probes)),
        "photons": torch.tensor(trained.photons, dtype=torch.float32),
        "good": torch.from_numpy(trained.good.astype(np.float32)),
    }


def write_inference_checkpoint(trained: TrainedNetwork, path: Path) -> None:
    """Write what a reconstruction needs of a network, atomically: weights, probes and settings that name no place.

    Neither the optimiser, nor the state of the training, nor files, folders, servers or the machine are in it.

    Raises:
        OutputError: the file cannot be written.
    """
    content = {
        KEY: make_record(trained.experiment.without_places(), trained.patch_px),
        "state_dict": list_weights(trained),
        "global_step": trained.steps,
    }
    with write_atomically(path) as file:
        torch.save(content, file)


def assemble(experiment: Experiment, patch_px: int, weights: Mapping[str, Tensor], steps: int) -> TrainedNetwork:
    """Put a network together from the content of a file.

    Args:
        experiment: all settings of its training.
        patch_px: side of its patterns.
        weights: those of the network, with names that begin with `generator.`, and `probes`, `photons`, `good`.
        steps: optimiser steps taken.

    Raises:
        KeyError: a part is missing.
        ValueError: the parts are inconsistent.
    """
    generator = restore_network(experiment, patch_px, select_network(weights))
    probes, good = weights["probes"].numpy(), weights["good"].numpy() > 0
    if probes.ndim != 4 or probes.shape[-2:] != (patch_px, patch_px) or not np.isfinite(probes).all():
        raise ValueError(f"its probe has shape {probes.shape}, its patterns {patch_px} px")
    photons = tuple(weights["photons"].tolist())
    return TrainedNetwork(generator, experiment, patch_px, probes.astype(np.complex64), photons, good, steps)


def restore_network(experiment: Experiment, patch_px: int, weights: Mapping[str, Tensor]) -> Generator:
    """Build a network with weights from a file, in evaluation mode.

    No memory is allocated for a network before its weights are known to fit.

    Raises:
        ValueError: names, shapes or types of the weights are not those of the network, or it cannot be built.
    """
    with torch.device("meta"):
        generator = build_network(experiment, patch_px)
    wanted = {name: (value.shape, value.dtype) for name, value in generator.state_dict().items()}
    found = {name: (value.shape, value.dtype) for name, value in weights.items()}
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        raise ValueError(f"the weights {wrong[0][:60]!r} are not those of the network")
    generator.load_state_dict(weights, assign=True)
    return generator.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def _rebuild(
    weights: Mapping[str, NDArray[Any]],
    experiment: Experiment,
    patch_px: int,
    *values: Any,  # noqa: ANN401
) -> TrainedNetwork:
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
    return TrainedNetwork(restore_network(experiment, patch_px, tensors), experiment, patch_px, *values)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read the content of a checkpoint: plain values and tensors in memory; nothing in it is run.

    Raises:
        CheckpointError: it does not exist, is damaged, or contains anything else.
    """
    check_checkpoint(path)
    # the restricted reader warns about unusual pickles before it refuses them
    with explain_damage(path, "checkpoint", CheckpointError), warnings.catch_warnings(action="ignore"):
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise CheckpointError(
                f"{path}: contains more than weights and plain values, which could run code; it is not read"
            ) from error
        if not isinstance(content, dict):
            raise CheckpointError(f"{path}: is not a checkpoint of ptycho_torch")
        _check_tensors(content)
    return content


def _check_tensors(content: dict[str, Any]) -> None:
    """Check that each tensor has its values, one after the other, in memory.

    Raises:
        ValueError: one is sparse, has no values, or repeats a few of them; or values are nested too deeply.
    """
    waiting: list[tuple[object, int]] = [(content, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > _DEEPEST:
            raise ValueError("its values are nested too deeply")
        if isinstance(value, Mapping):
            waiting += [(part, depth + 1) for part in value.values()]
        elif isinstance(value, list | tuple | set):
            waiting += [(part, depth + 1) for part in value]
        elif isinstance(value, Tensor):
            plain = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
            if not plain or value.numel() * value.element_size() > value.untyped_storage().nbytes():
                raise ValueError("a tensor in it is sparse, quantized or without values")
