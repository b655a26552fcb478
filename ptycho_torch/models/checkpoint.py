"""Checkpoints as files from outside: read without running anything in them, checked before use."""

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
from ptycho_torch.models.build import restored_network
from ptycho_torch.models.record import KEY, check_checkpoint, read_record
from ptycho_torch.networks.build import Generator

_GENERATOR = "generator."


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network out of a checkpoint with what it was trained with.

    Attributes:
        generator: the network, in evaluation mode on the CPU.
        experiment: all settings of its training.
        patch_px: side of the patterns that it takes.
        probes: (scan, mode, h, w) probe of each training scan, in √photons.
        photons: mean photons of a pattern of each training scan, without its background.
        good: (scan, h, w) good detector pixels of each training scan.
        steps: optimiser steps that were taken.
        record: everything that a checkpoint tells about itself, as plain values; empty where it came from elsewhere.
    """

    generator: Generator
    experiment: Experiment
    patch_px: int
    probes: NDArray[np.complex64]
    photons: tuple[float, ...]
    good: NDArray[np.bool_]
    steps: int
    record: dict[str, Any] = field(default_factory=dict)


def load_network(path: Path | str) -> TrainedNetwork:
    """Read a network from a checkpoint, on any machine.

    Raises:
        CheckpointError: the file is missing, damaged, carries code, or was not written by this package.
    """
    path = Path(path)
    content = _read(path)
    record, weights = content.get(KEY), content.get("state_dict")
    if not isinstance(record, dict) or not isinstance(weights, dict):
        raise CheckpointError(f"{path}: is not a checkpoint of ptycho_torch; train one with: ptycho-torch train")
    try:
        found = assemble(*read_record(record), weights, int(content["global_step"]))
        return replace(found, record=record)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:200]
        raise CheckpointError(f"{path}: its content does not fit together ({reason})") from error


def assemble(experiment: Experiment, patch_px: int, weights: Mapping[str, Tensor], steps: int) -> TrainedNetwork:
    """Put a network together from what a file held.

    Args:
        experiment: all settings of its training.
        patch_px: side of the patterns that it takes.
        weights: of the network, under names that begin with `generator.`, and `probes`, `photons`, `good`.
        steps: optimiser steps that were taken.

    Raises:
        KeyError: a part is missing.
        ValueError: the parts do not fit together.
    """
    own = {name.removeprefix(_GENERATOR): value for name, value in weights.items() if name.startswith(_GENERATOR)}
    generator = restored_network(experiment, patch_px, own)
    probes, good = weights["probes"].numpy(), weights["good"].numpy() > 0
    if probes.ndim != 4 or probes.shape[-2:] != (patch_px, patch_px) or not np.isfinite(probes).all():
        raise ValueError(f"its probe has shape {probes.shape}, its patterns {patch_px} px")
    photons = tuple(weights["photons"].tolist())
    return TrainedNetwork(generator, experiment, patch_px, probes.astype(np.complex64), photons, good, steps)


def _read(path: Path) -> dict[str, Any]:
    check_checkpoint(path)
    try:
        with warnings.catch_warnings():
            # the restricted reader warns about strange pickles before it refuses them
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: holds more than weights and plain values, which could run code; it is not read"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, MemoryError) as error:
        raise CheckpointError(f"{path}: is damaged and cannot be read ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: is not a checkpoint of ptycho_torch")
    return content
