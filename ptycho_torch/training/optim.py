"""Step sizes over a training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


@dataclass(frozen=True)
class StepSizes:
    """A linear warm-up, a fall from the highest step size, and a last stretch at a constant one.

    Attributes:
        highest: step size at the end of the warm-up.
        schedule: how it falls: along half a cosine, exponentially, or not at all.
        warmup_steps: steps over which it rises.
        main_steps: steps of warm-up and fall together.
        last_share: share of the highest that the fall ends at.
        fine_tune_share: share of the highest in all steps after that.
    """

    highest: float
    schedule: Literal["cosine", "constant", "exponential"]
    warmup_steps: int
    main_steps: int
    last_share: float
    fine_tune_share: float

    def share(self, step: int) -> float:
        """Share of the highest step size in a step."""
        if step >= self.main_steps:
            return self.fine_tune_share
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / (self.main_steps - self.warmup_steps)
        if self.schedule == "cosine":
            return self.last_share + (1 - self.last_share) * 0.5 * (1 + math.cos(math.pi * progress))
        return self.last_share**progress if self.schedule == "exponential" else 1.0

    def attach(self, optimiser: Optimizer) -> LambdaLR:
        """A scheduler that sets the step size of an optimiser before each step."""
        return LambdaLR(optimiser, self.share)
