"""The canonical parameters from the client's configurations, to an experiment of this package, and back from one.

Each parameter is declared in `parameters` with the client's field that it comes from and the settings that it becomes.
What no field specifies comes from `overrides`, or keeps its default. An override always wins, also over a value that
cannot be translated.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import MISSING, fields
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeVar

from ptycho_torch.config import Experiment
from ptycho_torch.config.fields import Settings
from ptycho_torch.contracts.legacy.parameters import (
    PARAMETERS,
    LegacyInference,
    LegacyModel,
    LegacyTraining,
    forget_files,
    use_keys,
)
from ptycho_torch.contracts.ptychodus.configs import DataConfig, InferenceConfig, ModelConfig, TrainingConfig
from ptycho_torch.contracts.ptychodus.field import convert_fields, make_experiment, restore_fields
from ptycho_torch.errors import ConfigError, GroupingError

if TYPE_CHECKING:
    from ptycho_torch.models.checkpoint import TrainedNetwork

S = TypeVar("S", bound=Settings)

_log = logging.getLogger(__name__)


def to_model_config(data: DataConfig, model: ModelConfig, overrides: Mapping[str, Any] | None = None) -> LegacyModel:
    """Translate the client's configurations of data and network.

    Args:
        data: the client's configuration of the data.
        model: the client's configuration of the network.
        overrides: values by canonical name, for what the client cannot specify or specifies differently.

    Raises:
        ConfigError: a value cannot be translated or used, or an override is unknown.
    """
    return _translate(LegacyModel, {DataConfig: data, ModelConfig: model}, overrides)


def to_training_config(
    model_section: LegacyModel,
    data: DataConfig,
    model: ModelConfig,
    training: TrainingConfig,
    overrides: Mapping[str, Any] | None = None,
) -> LegacyTraining:
    """Translate a training, as `to_model_config` does; the overrides must contain `train_data_file`."""
    configs: dict[type, object] = {DataConfig: data, ModelConfig: model, TrainingConfig: training}
    section = _translate(LegacyTraining, configs, overrides, model=model_section)
    if section.test_data_file is None:
        _log.warning("test_data_file is missing: the training cannot be tested; overrides may specify one")
    return section


def to_inference_config(
    model_section: LegacyModel,
    data: DataConfig,
    inference: InferenceConfig,
    overrides: Mapping[str, Any] | None = None,
) -> LegacyInference:
    """Translate an inference, as `to_model_config` does; the overrides must contain `model_path`."""
    configs = {DataConfig: data, InferenceConfig: inference}
    return _translate(LegacyInference, configs, overrides, model=model_section)


def _translate(
    section: type[S], configs: Mapping[type, object], overrides: Mapping[str, Any] | None, **given: LegacyModel
) -> S:
    for wanted, config in configs.items():
        # they are easily passed in another order
        if not isinstance(config, wanted):
            raise ConfigError(f"{type(config).__name__} was passed; the argument must be a {wanted.__name__}")
    values = _check_overrides(section, overrides or {})
    by_name = {owner.__name__: config for owner, config in configs.items()}
    for field in fields(section):
        source, conversion = field.metadata.get("source"), field.metadata.get("adapt")
        if source and field.name not in values:
            owner, _, name = source.partition(".")
            value = getattr(by_name[owner], name)
            values[field.name] = value if conversion is None else conversion(source, value)
    made = section(**given, **values)
    if getattr(made, "n_groups", 0) is None:
        _log.warning("n_groups is missing: each pattern gives one group; overrides may specify another number")
    return made


def _check_overrides(section: type[Settings], overrides: Mapping[str, Any]) -> dict[str, Any]:
    asked, known = dict(overrides), [field.name for field in fields(section) if "key" in field.metadata]
    if "n_images" in asked and "n_groups" in known:
        if "n_groups" in asked:
            raise ConfigError("n_images is the older name of n_groups; pass only n_groups")
        _log.warning("n_images is deprecated; pass n_groups instead")
        asked["n_groups"] = asked.pop("n_images")
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise ConfigError(f"{section.__name__} has no override {unknown[0]!r}; it has {', '.join(known)}")
    for field in fields(section):
        if field.default is MISSING and field.name not in asked:
            raise ConfigError(
                f"{field.name} is missing and not part of the client's configuration; pass "
                f"overrides={{'{field.name}': ...}}"
            )
    return asked


def to_experiment(config: LegacyTraining, patterns: int, modes: int = 1) -> Experiment:
    """Translate canonical parameters to settings; those that are set and have no effect are named in a warning.

    An epoch draws `n_groups`; more than one per pattern are different groups of the same patterns. If
    `probe_trainable` is off the probe is scaled to the photons and otherwise left alone, before training and in the
    polish after it.

    Args:
        config: the canonical parameters.
        patterns: number of patterns of the scan.
        modes: number of modes of the scan's probe; as many are refined.

    Raises:
        ConfigError: a parameter has an unusable value.
        GroupingError: `neighbor_count` is too small for a group.
    """
    settings = convert_fields((config.model, config))
    size = settings["training.group_size"]
    if config.neighbor_count < size - 1:
        raise GroupingError(f"neighbor_count is {config.neighbor_count}; a group of {size} needs at least {size - 1}")
    if (config.nll_weight > 0) == (config.mae_weight > 0):
        raise ConfigError(
            f"nll_weight and mae_weight are {config.nll_weight:g} and {config.mae_weight:g}; exactly one must be 0"
        )
    if not config.probe_trainable:
        settings["refine.probe_start"] = 1.0
    return make_experiment(
        settings
        | {
            "training.loss": "poisson" if config.nll_weight > 0 else "amplitude_mae",
            "training.groups_per_pattern": 1 if config.n_groups is None else -(-config.n_groups // patterns),
            "refine.probe_modes": modes,
        }
    )


def to_legacy_parameters(trained: TrainedNetwork) -> dict[str, Any]:
    """The legacy parameters that describe a training; those without a counterpart here have the legacy default.

    So have those that name a file or folder, which a network that is handed on does not tell.
    """
    settings = trained.experiment.training
    by_counts = settings.loss != "amplitude_mae" and settings.target != "object"
    assumed = {name: None if field.default is MISSING else field.default for name, field in PARAMETERS.items()}
    found = restore_fields(LegacyModel, trained.experiment) | restore_fields(LegacyTraining, trained.experiment)
    found |= {
        "N": trained.patch_px,
        "nll_weight": float(by_counts),
        "mae_weight": float(not by_counts),
        "nphotons": fmean(trained.photons),
        "neighbor_count": settings.neighbours or max(settings.group_size - 1, 1),
    }
    # n_images is the older name of n_groups
    return forget_files({"n_images": None} | use_keys(assumed | found))
