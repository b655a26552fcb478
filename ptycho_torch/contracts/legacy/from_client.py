"""From the client's configuration to the canonical sections that legacy code knows.

`SOURCES` says, section by section, which field of which client class a canonical field comes from. What it does not
name the client cannot say: such a value comes from `overrides`, or stays at its default. An override always wins, and
is how a value that cannot be translated is resolved.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar

from ptycho_torch.config.fields import Settings
from ptycho_torch.contracts.legacy.parameters import (
    ACTIVATIONS,
    LegacyInference,
    LegacyModel,
    LegacyTask,
    LegacyTraining,
)
from ptycho_torch.contracts.ptychodus.configs import DataConfig, InferenceConfig, ModelConfig, TrainingConfig
from ptycho_torch.errors import ConfigError

S = TypeVar("S", bound=Settings)

_log = logging.getLogger(__name__)

_MODEL_TYPES = {"Unsupervised": "pinn", "Supervised": "supervised"}
# to the canonical names, which are taken themselves
_ACTIVATIONS: dict[str, str] = {name: name for name in LegacyModel.types()["amp_activation"].choices} | {
    own: canonical for canonical, own in ACTIVATIONS.items()
}


def to_model_config(data: DataConfig, model: ModelConfig, overrides: Mapping[str, Any] | None = None) -> LegacyModel:
    """Network and optics in the canonical names.

    Args:
        data: the client's configuration of the data.
        model: the client's configuration of the network.
        overrides: canonical names to values, for what the client cannot say or says differently.

    Raises:
        ConfigError: a value cannot be translated or used, or an override is unknown.
    """
    return _translated(LegacyModel, _by_class({DataConfig: data, ModelConfig: model}), overrides)


def to_training_config(
    model_section: LegacyModel,
    data: DataConfig,
    model: ModelConfig,
    training: TrainingConfig,
    overrides: Mapping[str, Any] | None = None,
) -> LegacyTraining:
    """Training in the canonical names; `train_data_file` has to be among the overrides.

    Args:
        model_section: what `to_model_config` made.
        data: the client's configuration of the data.
        model: the client's configuration of the network.
        training: the client's configuration of the training.
        overrides: canonical names to values, for what the client cannot say or says differently.

    Raises:
        ConfigError: a value is missing, cannot be translated or used, or an override is unknown.
    """
    configs = _by_class({DataConfig: data, ModelConfig: model, TrainingConfig: training})
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

    Args:
        model_section: what `to_model_config` made.
        data: the client's configuration of the data.
        inference: the client's configuration of the inference; it must be one, and none of its fields has a canonical
            name.
        overrides: canonical names to values, for what the client cannot say or says differently.

    Raises:
        ConfigError: a value is missing, cannot be translated or used, or an override is unknown.
    """
    configs = _by_class({DataConfig: data, InferenceConfig: inference})
    section = _translated(LegacyInference, configs, overrides, model=model_section)
    _warn_without_groups(section)
    return section


@dataclass(frozen=True)
class Source:
    """Where a canonical field comes from.

    Attributes:
        client: the client's class.
        name: its field.
        translate: turns its value into the canonical one; without it the value is carried over as it is.
    """

    client: type
    name: str
    translate: Callable[[Any], Any] | None = None

    def value(self, configs: Mapping[type, object]) -> Any:  # noqa: ANN401 - as many types as there are fields
        """The canonical value."""
        given = getattr(configs[self.client], self.name)
        return given if self.translate is None else self.translate(given)


def _square(grid_size: Any) -> Any:  # noqa: ANN401 - unchecked values of the client
    match grid_size:
        case [rows, columns] if rows == columns:
            return rows
    raise ConfigError(
        f"DataConfig.grid_size is {grid_size!r}; a square one such as (2, 2) is needed, or the override gridsize"
    )


def _model_type(mode: object) -> str:
    if str(mode) in _MODEL_TYPES:
        return _MODEL_TYPES[str(mode)]
    raise ConfigError(f"ModelConfig.mode is {mode!r}; one of {', '.join(_MODEL_TYPES)} is needed")


def _activation(name: object) -> str:
    if str(name).lower() in _ACTIVATIONS:
        return _ACTIVATIONS[str(name).lower()]
    raise ConfigError(f"ModelConfig.amp_activation is {name!r}; one of {', '.join(_ACTIVATIONS)} is needed")


def _is_given(mask: object) -> bool:
    """An array or a tensor of any library is a mask, None is none; plain switches are taken at their word."""
    if mask is None or isinstance(mask, bool):
        return bool(mask)
    if hasattr(mask, "shape"):
        return True
    raise ConfigError(f"ModelConfig.probe_mask is {mask!r}; an array or None is needed")


def _weight(nll: object) -> float:
    if isinstance(nll, bool):
        return float(nll)
    raise ConfigError(f"TrainingConfig.nll is {nll!r}; True or False is needed, or the override nll_weight")


def _photons(nphotons: Any) -> Any:  # noqa: ANN401 - unchecked values of the client
    if nphotons == DataConfig.nphotons:
        raise ConfigError(
            f"DataConfig.nphotons is {nphotons:g}, the client's default, but legacy code takes "
            f"{LegacyTraining.nphotons:g} for granted; set DataConfig.nphotons to the mean photons of a pattern, or "
            f"pass overrides={{'nphotons': ...}}"
        )
    return nphotons


def _folder(output_dir: Any) -> Any:  # noqa: ANN401 - unchecked values of the client
    return LegacyTraining.output_dir if output_dir is None else output_dir


SOURCES: dict[type[Settings], dict[str, Source]] = {
    LegacyModel: {
        "N": Source(DataConfig, "N"),
        "gridsize": Source(DataConfig, "grid_size", _square),
        "n_filters_scale": Source(ModelConfig, "n_filters_scale"),
        "model_type": Source(ModelConfig, "mode", _model_type),
        "amp_activation": Source(ModelConfig, "amp_activation", _activation),
        "object_big": Source(ModelConfig, "object_big"),
        "probe_big": Source(ModelConfig, "probe_big"),
        "probe_mask": Source(ModelConfig, "probe_mask", _is_given),
        "probe_scale": Source(DataConfig, "probe_scale"),
    },
    LegacyTraining: {
        "subsample_seed": Source(DataConfig, "subsample_seed"),
        "neighbor_count": Source(DataConfig, "K"),
        "batch_size": Source(TrainingConfig, "batch_size"),
        "nepochs": Source(TrainingConfig, "epochs"),
        "nll_weight": Source(TrainingConfig, "nll", _weight),
        "nphotons": Source(DataConfig, "nphotons", _photons),
        "intensity_scale_trainable": Source(ModelConfig, "intensity_scale_trainable"),
        "output_dir": Source(TrainingConfig, "output_dir", _folder),
    },
    # the client's n_subsample counts neighbours, not patterns: it is no source of the canonical one (nor is its
    # batch_size, window or weighting of inference of anything here)
    LegacyInference: {
        "subsample_seed": Source(DataConfig, "subsample_seed"),
        "neighbor_count": Source(DataConfig, "K"),
    },
}


def _by_class(configs: Mapping[type, object]) -> Mapping[type, object]:
    """The same, once every configuration is of the class it should be: they are easily passed in another order."""
    for wanted, config in configs.items():
        if not isinstance(config, wanted):
            raise ConfigError(f"{wanted.__name__} is needed, {type(config).__name__} was passed")
    return configs


def _translated(
    section: type[S],
    configs: Mapping[type, object],
    overrides: Mapping[str, Any] | None,
    **given: LegacyModel,
) -> S:
    asked = _checked(section, overrides or {})
    sources = SOURCES[section].items()
    translated = {name: source.value(configs) for name, source in sources if name not in asked}
    return section(**given, **translated, **asked)


def _checked(section: type[Settings], overrides: Mapping[str, Any]) -> dict[str, Any]:
    asked = dict(overrides)
    known = [field.name for field in fields(section) if field.metadata["legacy"]]
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
