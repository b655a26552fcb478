"""From the client's configurations to an experiment of this package, as the table in `configs` says."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from ptycho_torch.config import Experiment
from ptycho_torch.contracts.ptychodus.configs import DataConfig, InferenceConfig, ModelConfig, TrainingConfig
from ptycho_torch.contracts.ptychodus.field import convert_fields, experiment_from
from ptycho_torch.errors import ConfigError

_log = logging.getLogger(__name__)

Bounds = tuple[float, float]


@dataclass(frozen=True)
class ClientExperiment:
    """What the client asks for.

    Attributes:
        experiment: all settings of this package.
        x_bounds: share of the scan's width that training sees.
        y_bounds: share of the scan's height that training sees.
        level_probe: remove the starting probe's mean phase ramp.
        device: where to train: `cuda`, `cuda:N`, `cpu` or `auto`.
        warmup_epochs: epochs over which the step size rises.
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
    """Read the client's configurations; fields that cannot matter are named in a warning, each once.

    Raises:
        ConfigError: a field has a value that cannot be used.
    """
    _check_together(data, model)
    settings = convert_fields((data, model, training, inference))
    settings |= {"training.warmup_steps": 0} | _neighbours(data, settings)
    own = {path: value for path, value in settings.items() if "." not in path}
    return ClientExperiment(experiment=experiment_from(settings), **own)


def _check_together(data: DataConfig, model: ModelConfig) -> None:
    match data.grid_size:
        case [rows, columns] if rows == columns and rows >= 1:
            pass
        case _:
            raise ConfigError(f"DataConfig.grid_size is {data.grid_size}; a square grid such as (2, 2) is needed")
    if model.batch_norm and (data.normalize, data.data_scaling) != ("Batch", "Parseval"):
        raise ConfigError(
            f"DataConfig.normalize and data_scaling are {data.normalize!r}, {data.data_scaling!r}; beside batch_norm "
            "only 'Batch' and 'Parseval' work: other scales of the patterns would reach the result"
        )


def _neighbours(data: DataConfig, settings: dict[str, Any]) -> dict[str, Any]:
    """Enough neighbours for a group, within distances that leave room."""
    needed = settings["training.group_size"] - 1
    least, most = settings.get("training.least_distance_px"), settings.get("training.greatest_distance_px")
    if needed > data.K:
        _log.warning("DataConfig.K is %d; a group of %d needs %d neighbours, which counts", data.K, needed + 1, needed)
    if least is not None and most is not None and most <= least:
        raise ConfigError(f"DataConfig.max_neighbor_distance is {most!r}; more than the least, {least!r}, is needed")
    found = settings.get("training.neighbours")
    return {} if found is None else {"training.neighbours": max(found, needed, 1)}
