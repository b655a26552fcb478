"""The settings of a training on simulated scans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ptycho_torch.config.fields import Settings, setting


@dataclass(frozen=True, kw_only=True)
class PretrainingSettings(Settings):
    """The simulated scans that a network is trained on before it sees measured ones."""

    scans: int = setting(8, at_least=1, at_most=100_000, help="number of simulated scans, each with a seed of its own")
    objects: Literal["mixed", "one"] = setting(
        "mixed", help="samples: all kinds in turn, or only the one that the simulation names"
    )
