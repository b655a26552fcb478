"""The settings of a reconstruction by a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ptycho_torch.config.conditions import one_of
from ptycho_torch.config.fields import Settings, setting


@dataclass(frozen=True, kw_only=True)
class InferenceSettings(Settings):
    """How a trained network reconstructs a scan."""

    batch_size: int = setting(64, at_least=1, help="patterns per batch")
    weighting: Literal["light", "uniform"] = setting(
        "light", help="weights of overlapping patches: their illumination, or equal wherever they are illuminated"
    )
    polish: bool = setting(True, help="polish the network's object with the solver")
    control: bool = setting(
        True,
        acts_when=one_of("polish", True),
        help="also run the solver from a flat object, which is the result if the network's object is no better",
    )
