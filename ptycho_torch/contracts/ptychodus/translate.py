"""From the client's configurations to an experiment of this package, by the table in `configs`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from ptycho_torch.config import Experiment
from ptycho_torch.contracts.ptychodus.configs import DataConfig, InferenceConfig, ModelConfig, TrainingConfig
from ptycho_torch.contracts.ptychodus.field import convert_fields, make_experiment
from ptycho_torch.errors import ConfigError

_log = logging.getLogger(__name__)

Bounds = tuple[float, float]


@dataclass(frozen=True)
class ClientExperiment:
    """What the client asks for.

    Attributes:
        experiment: all settings of this package.
        x_bounds: part of the scan's width used for training, as two fractions.
        y_bounds: likewise, of its height.
        level_probe: remove the initial probe's mean phase ramp.
        device: where to train: `cuda`, `cuda:N`, `cpu` or `auto`.
        warmup_epochs: epochs over which the learning rate rises.
    """

    experiment: Experiment
    x_bounds: Bounds
    y_bounds: Bounds
    level_probe: bool
    device: str
    warmup_epochs: int


def translate(
    data: DataConfig, model: ModelConfig, training: TrainingConfig, inference: InferenceConfig
) -> ClientExperiment:
    """Read the client's configurations; each field that is set and has no effect is named in a warning.

    Raises:
        ConfigError: a field has an unusable value.
    """
    match data.grid_size:
        case [rows, columns] if rows == columns and rows >= 1:
            pass
        case _:
            raise ConfigError(f"DataConfig.grid_size is {data.grid_size}; it must be square, such as (2, 2)")
    if model.batch_norm and (data.normalize, data.data_scaling) != ("Batch", "Parseval"):
        raise ConfigError(
            f"DataConfig.normalize and data_scaling are {data.normalize!r} and {data.data_scaling!r}; they must be "
            "'Batch' and 'Parseval' with batch_norm, since other scales of the patterns would affect the result"
        )
    settings = convert_fields((data, model, training, inference))
    settings |= {"training.warmup_steps": 0} | _fit_neighbours(data, settings)
    own = {path: value for path, value in settings.items() if "." not in path}
    return ClientExperiment(experiment=make_experiment(settings), **own)


def _fit_neighbours(data: DataConfig, settings: dict[str, Any]) -> dict[str, Any]:
    """Enough neighbours for a group, after a check of the range of distances."""
    needed = settings["training.group_size"] - 1
    least, most = settings.get("training.least_distance_px"), settings.get("training.greatest_distance_px")
    if needed > data.K:
        _log.warning("DataConfig.K is %d; %d neighbours are used for groups of %d", data.K, needed, needed + 1)
    if least is not None and most is not None and most <= least:
        raise ConfigError(f"DataConfig.max_neighbor_distance is {most!r}; it must exceed the minimum, {least!r}")
    found = settings.get("training.neighbours")
    return {} if found is None else {"training.neighbours": max(found, needed, 1)}
