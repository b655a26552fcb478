"""The settings of a search through several configurations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ptycho_torch.config.conditions import one_of
from ptycho_torch.config.fields import Settings, setting

_SEARCH = one_of("sampler", "random", "tpe")


@dataclass(frozen=True, kw_only=True)
class SweepSettings(Settings):
    """How to search through several configurations."""

    sampler: Literal["grid", "random", "tpe"] = setting(
        "grid",
        help="what chooses the configurations: every combination of the values, random ones, or the sampler of Optuna "
        "that learns from finished runs",
    )
    trials: int = setting(
        20,
        at_least=1,
        at_most=1_000_000,
        acts_when=_SEARCH,
        help="configurations to try, those of a resumed search included",
    )
    metric: str | None = setting(
        None,
        acts_when=_SEARCH,
        help="figure of the run record to optimise, such as network.R; by default that of the stage",
    )
    direction: Literal["minimize", "maximize"] = setting(
        "minimize", acts_when=_SEARCH, help="whether the best figure is the lowest or the highest"
    )
    seed: int = setting(0, at_least=0, at_most=2**32 - 1, acts_when=_SEARCH, help="seed of the sampler")
    resume: bool = setting(False, help="go on with the search in the output folder")
