"""From the canonical parameters to an experiment of this package: each is used, refused, or warned about."""

from __future__ import annotations

from ptycho_torch.config import Experiment
from ptycho_torch.contracts.legacy.parameters import LegacyTraining
from ptycho_torch.contracts.ptychodus.field import convert_fields, experiment_from
from ptycho_torch.errors import ConfigError, GroupingError


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
        ConfigError: a parameter has a value that cannot be used.
        GroupingError: `neighbor_count` is too small for a group.
    """
    settings = convert_fields((config.model, config))
    size = settings["training.group_size"]
    if config.neighbor_count < size - 1:
        raise GroupingError(
            f"neighbor_count is {config.neighbor_count}; a group of {size} needs at least {size - 1} neighbours"
        )
    if (config.nll_weight > 0) == (config.mae_weight > 0):
        raise ConfigError(
            f"nll_weight and mae_weight are {config.nll_weight:g} and {config.mae_weight:g}; one of them must be 0"
        )
    return experiment_from(
        settings
        | {
            "training.loss": "poisson" if config.nll_weight > 0 else "amplitude_mae",
            "training.groups_per_pattern": 1 if config.n_groups is None else -(-config.n_groups // patterns),
            "refine.probe_modes": modes,
        }
    )
