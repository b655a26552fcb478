"""The learning rate over a training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


@dataclass(frozen=True)
class LearningRates:
    """A linear warm-up, a schedule down from the highest learning rate, and fine-tuning at a constant one.

    Attributes:
        highest: learning rate at the end of the warm-up.
        schedule: course after the warm-up: half a cosine, exponential, or constant.
        warmup_steps: optimiser steps of the warm-up.
        main_steps: optimiser steps of warm-up and schedule together.
        last_share: share of the highest rate at the end of the schedule.
        fine_tune_share: share of the highest rate during fine-tuning.
    """

    highest: float
    schedule: Literal["cosine", "constant", "exponential"]
    warmup_steps: int
    main_steps: int
    last_share: float
    fine_tune_share: float

    def find_share(self, step: int) -> float:
        """Share of the highest learning rate in a step, counted from 0."""
        if step >= self.main_steps:
            return self.fine_tune_share
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / (self.main_steps - self.warmup_steps)
        if self.schedule == "cosine":
            return self.last_share + (1 - self.last_share) * 0.5 * (1 + math.cos(math.pi * progress))
        return self.last_share**progress if self.schedule == "exponential" else 1.0

    def attach(self, optimiser: Optimizer) -> LambdaLR:
        """A scheduler that sets the learning rate of an optimiser before each step."""
        return LambdaLR(optimiser, self.find_share)
