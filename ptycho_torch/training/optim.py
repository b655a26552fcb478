"""Step-size schedules."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

_LAST_SHARE = 0.01


def warmup_cosine(optimiser: Optimizer, warmup_steps: int, total_steps: int) -> LambdaLR:
    """Rise linearly over the warm-up, then fall along half a cosine to a hundredth at the last step."""

    def share(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
        return _LAST_SHARE + (1 - _LAST_SHARE) * 0.5 * (1 + math.cos(math.pi * progress))

    return LambdaLR(optimiser, share)
