"""Watch: when to stop, by the pixels that are not fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ptycho_torch.solve.scan_model import Misfit
from ptycho_torch.solve.solver import State, read_state

# a rise of the held-out deviance that is less than so many standard errors may be chance
_SIGNIFICANT = 2.5


def is_significantly_worse(deviance: Tensor, reference: Tensor) -> bool:
    """Whether held-out deviances (pattern,) exceed those of another state by more than chance: a paired comparison."""
    rise = deviance - reference
    return bool(rise.sum() > _SIGNIFICANT * rise.std(correction=0) * len(rise) ** 0.5)


class Watch:
    """Follows the deviance of held-out pixels from epoch to epoch.

    The deviance decides rather than R, because its expectation is least for the true counts at any dose: R prefers too
    low counts where most pixels have no photon.

    Args:
        patience: number of epochs in a row with a significantly higher deviance after which to stop.
        start: number of the first epoch to consider.

    Attributes:
        best: object and probe at the least deviance.
        best_number: number of that epoch, from 0.
        is_worse: whether the last epoch's deviance is significantly higher than the least.
    """

    best: State
    best_number: int

    def __init__(self, patience: int, start: int = 0) -> None:
        self.is_worse = False
        self._patience, self._start = patience, start
        self._least: Tensor | None = None
        self._rises = 0

    @property
    def is_over(self) -> bool:
        """Whether further epochs would fit noise."""
        return self._rises >= self._patience

    def see(self, number: int, misfit: Misfit, state: State) -> None:
        """Take note of an epoch that ended at a state."""
        if number < self._start:
            return
        deviance = misfit.free_deviance
        if self._least is None or deviance.sum() < self._least.sum():
            self._least, self.best, self.best_number = deviance, state, number
        self.is_worse = is_significantly_worse(deviance, self._least)
        self._rises = self._rises + 1 if self.is_worse else 0

    def dump(self) -> dict[str, Any]:
        """Return what was seen so far, as tensors and plain values."""
        seen = {"is_worse": self.is_worse, "rises": self._rises, "least": self._least}
        return seen if self._least is None else {**seen, "best": list(self.best), "best_number": self.best_number}

    def load(self, values: Mapping[str, Any], state: State) -> None:
        """Go on from what `dump` returned; states must be like the given one.

        Raises:
            ValueError: they are not.
        """
        self.is_worse, self._rises = bool(values["is_worse"]), int(values["rises"])
        if values["least"] is not None:
            self._least = values["least"].to(state[0].device)
            self.best, self.best_number = read_state(values["best"], state), int(values["best_number"])
