"""From the client's configuration to the canonical sections that legacy code knows.

The sections say which field of the client each parameter comes from. What no field says comes from `overrides`, or
stays at its default. An override always wins, and is how a value that cannot be translated is resolved.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from ptycho_torch.config.fields import Settings
from ptycho_torch.contracts.legacy.parameters import LegacyInference, LegacyModel, LegacyTask, LegacyTraining
from ptycho_torch.contracts.ptychodus.configs import DataConfig, InferenceConfig, ModelConfig, TrainingConfig
from ptycho_torch.errors import ConfigError

S = TypeVar("S", bound=Settings)

_log = logging.getLogger(__name__)


def to_model_config(data: DataConfig, model: ModelConfig, overrides: Mapping[str, Any] | None = None) -> LegacyModel:
    """Network and optics in the canonical names.

    Args:
        data: the client's configuration of the data.
        model: the client's configuration of the network.
        overrides: canonical names to values, for what the client cannot say or says differently.

    Raises:
        ConfigError: a value cannot be translated or used, or an override is unknown.
    """
    return _translated(LegacyModel, {DataConfig: data, ModelConfig: model}, overrides)


def to_training_config(
    model_section: LegacyModel,
    data: DataConfig,
    model: ModelConfig,
    training: TrainingConfig,
    overrides: Mapping[str, Any] | None = None,
) -> LegacyTraining:
    """Training in the canonical names; `train_data_file` has to be among the overrides.

    The arguments and errors are those of `to_model_config`, with its result and the client's configuration of the
    training.
    """
    configs: dict[type, object] = {DataConfig: data, ModelConfig: model, TrainingConfig: training}
    section = _translated(LegacyTraining, configs, overrides, model=model_section)
    if section.test_data_file is None:
        _log.warning("there is no test_data_file: the training cannot be tested; overrides may name one")
    _warn_without_groups(section)
    return section


def to_inference_config(
    model_section: LegacyModel,
    data: DataConfig,
    inference: InferenceConfig,
    overrides: Mapping[str, Any] | None = None,
) -> LegacyInference:
    """Inference in the canonical names; `model_path` has to be among the overrides.

    The arguments and errors are those of `to_model_config`, with its result and the client's configuration of the
    inference, none of whose fields has a canonical name.
    """
    section = _translated(
        LegacyInference, {DataConfig: data, InferenceConfig: inference}, overrides, model=model_section
    )
    _warn_without_groups(section)
    return section


def _translated(
    section: type[S], configs: Mapping[type, object], overrides: Mapping[str, Any] | None, **given: LegacyModel
) -> S:
    for wanted, config in configs.items():
        # they are easily passed in another order
        if not isinstance(config, wanted):
            raise ConfigError(f"{wanted.__name__} is needed, {type(config).__name__} was passed")
    values = _checked(section, overrides or {})
    by_name = {owner.__name__: config for owner, config in configs.items()}
    for field in fields(section):
        source = field.metadata.get("source")
        if source and field.name not in values:
            owner, _, name = source.partition(".")
            value, conversion = getattr(by_name[owner], name), field.metadata["by"]
            values[field.name] = value if conversion is None else conversion(source, value)
    return section(**given, **values)


def _checked(section: type[Settings], overrides: Mapping[str, Any]) -> dict[str, Any]:
    asked = dict(overrides)
    known = [field.name for field in fields(section) if "key" in field.metadata]
    if "n_images" in asked and "n_groups" in known:
        if "n_groups" in asked:
            raise ConfigError("n_images is the older name of n_groups; pass only n_groups")
        _log.warning("n_images is deprecated; pass n_groups instead")
        asked["n_groups"] = asked.pop("n_images")
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise ConfigError(f"{section.__name__} takes no override {unknown[0]!r}; it takes {', '.join(known)}")
    for field in fields(section):
        if field.default is MISSING and field.name not in asked:
            raise ConfigError(
                f"{field.name} is needed and no configuration of the client holds it; "
                f"pass overrides={{'{field.name}': ...}}"
            )
    return asked


def _warn_without_groups(section: LegacyTask) -> None:
    if section.n_groups is None:
        _log.warning("there is no n_groups: every pattern gives one group; overrides may name another number")
