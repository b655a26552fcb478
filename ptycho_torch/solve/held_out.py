"""HeldOut: detector pixels that no solver fits, so that they tell whether a reconstruction predicts or fits noise.

A. T. Brünger, Nature 355, 472 (1992), held out reflections of a crystal in the same way and called the residual of
those the free R value.
"""

from __future__ import annotations

import torch
from torch import Tensor


class HeldOut:
    """A random share of the good pixels of each pattern.

    One random order of the good pixels serves all patterns; each holds out a stretch of it that starts at random, so
    that the choice takes memory for one pattern and one number per pattern.

    Args:
        good: (h, w) 1 on good pixels, in the order of the patterns.
        patterns: number of patterns.
        share: of the good pixels; 0 holds out none, any other at least one.
        seed: of the choice.

    Attributes:
        per_pattern: number of pixels that each pattern holds out.
    """

    def __init__(self, good: Tensor, patterns: int, share: float, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        usable = good.flatten().nonzero().flatten().cpu()
        self._order = usable[torch.randperm(len(usable), generator=generator)].to(good.device)
        self._starts = torch.randint(max(len(usable), 1), (patterns,), generator=generator).to(good.device)
        self.per_pattern = max(1, round(share * len(usable))) if share else 0

    def index(self, patterns: Tensor) -> Tensor:
        """Flat pixel numbers (pattern, pixel) that some patterns hold out."""
        steps = torch.arange(self.per_pattern, device=patterns.device)
        return self._order[(self._starts[patterns, None] + steps) % max(len(self._order), 1)]

    def clear(self, images: Tensor, patterns: Tensor) -> Tensor:
        """Set images (pattern, h, w) to zero, in place, on the pixels that these patterns hold out."""
        images.flatten(1).scatter_(1, self.index(patterns), 0)
        return images
