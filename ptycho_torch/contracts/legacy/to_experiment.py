"""From the canonical parameters to an experiment of this package: each is honoured, refused, or warned about."""

from __future__ import annotations

import logging
from typing import Any, Literal

from ptycho_torch.config import Experiment, InferenceSettings, ModelSettings, RefineSettings, TrainingSettings
from ptycho_torch.contracts.legacy.parameters import ACTIVATIONS, CHANNELS_PER_FILTER_SCALE, LegacyModel, LegacyTraining
from ptycho_torch.errors import ConfigError, GroupingError

_log = logging.getLogger(__name__)

_REFUSED: dict[str, str] = {
    "realspace_weight": "the object is held against its labels alone, where model_type is supervised",
    "realspace_mae_weight": "the object is held against its labels alone, where model_type is supervised",
    "positions_provided": "positions come with the scan",
    "gaussian_smoothing_sigma": "patches are not smoothed; a penalty on their variation is there instead",
    "probe_mask": "the probe is refined from the patterns, and a mask would not hold",
}
_INERT: dict[str, str] = {
    "pad_object": "the canvas follows from the positions",
    "probe_scale": "probes are scaled to the measured photons",
    "intensity_scale_trainable": "the scale is solved in closed form from the measured photons",
}


def experiment_of(config: LegacyTraining, patterns: int, modes: int = 1) -> Experiment:
    """Settings that do what the canonical parameters say.

    `n_groups` is what an epoch draws; more than one a pattern are different groups of the same patterns. Where
    `probe_trainable` is off the probe is scaled to the photons and otherwise left alone, before training and in the
    polish after it.

    Args:
        config: the canonical parameters; parameters without any influence are named in a warning where they are set.
        patterns: how many the scan has.
        modes: of the scan's probe; as many are refined.

    Raises:
        ConfigError: a parameter has a value that cannot be had.
        GroupingError: `neighbor_count` is too small for a group.
    """
    for section in (config, config.model):
        _check(section)
    if config.sequential_sampling and config.n_subsample is None:
        _log.warning("sequential_sampling is True and acts in training only with n_subsample")
    groups = config.n_groups
    size = config.model.gridsize**2
    if config.neighbor_count < size - 1:
        raise GroupingError(
            f"neighbor_count is {config.neighbor_count}; a group of {size} needs at least {size - 1} neighbours"
        )
    return Experiment(
        model=_model(config.model),
        training=TrainingSettings(
            target="object" if config.model.model_type == "supervised" else "patterns",
            epochs=config.nepochs,
            batch_size=config.batch_size,
            group_size=size,
            neighbours=config.neighbor_count,
            groups_per_epoch=groups,
            groups_per_pattern=1 if groups is None else -(-groups // patterns),
            loss=_loss(config),
            unmerged_weight=TrainingSettings().unmerged_weight if config.model.object_big else 1.0,
            bootstrap_epochs=TrainingSettings().bootstrap_epochs if config.probe_trainable else 0,
            seed=config.subsample_seed or 0,
        ),
        inference=InferenceSettings(),
        refine=RefineSettings(
            probe_start=RefineSettings().probe_start if config.probe_trainable else 1.0, probe_modes=modes
        ),
    )


def _model(model: LegacyModel) -> ModelSettings:
    if model.amp_activation not in ACTIVATIONS:
        raise ConfigError(f"amp_activation is {model.amp_activation!r}; {', '.join(ACTIVATIONS)} are known here")
    return ModelSettings(
        width=CHANNELS_PER_FILTER_SCALE * model.n_filters_scale,
        amplitude=ACTIVATIONS[model.amp_activation],
        field="whole" if model.probe_big else "centre",
    )


def _loss(config: LegacyTraining) -> Literal["poisson", "amplitude_mae"]:
    weights = (config.nll_weight, config.mae_weight)
    if weights[0] > 0 and weights[1] == 0:
        return "poisson"
    if weights[0] == 0 and weights[1] > 0:
        return "amplitude_mae"
    raise ConfigError(f"nll_weight and mae_weight are {weights[0]:g} and {weights[1]:g}; one of them must be 0")


def _check(section: Any) -> None:  # noqa: ANN401 - one of the canonical sections
    fields = type(section).__dataclass_fields__
    for name in (set(_REFUSED) | set(_INERT)) & set(fields):
        value, default = getattr(section, name), fields[name].default
        if value == default:
            continue
        if name in _REFUSED:
            raise ConfigError(f"{name} is {value!r}; only {default!r} works here: {_REFUSED[name]}")
        _log.warning("%s is %r and changes nothing: %s", name, value, _INERT[name])
