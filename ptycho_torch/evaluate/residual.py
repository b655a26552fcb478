"""How well a reconstruction explains the measured patterns, and how well it could at best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Generator, Tensor, float64, tensor

from ptycho_torch.physics.noise import draw_counts
from ptycho_torch.runtime.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Residual:
    """R = √(Σ(√λ−√n)² / Σn) over a scan.

    Attributes:
        value: R of the measured counts.
        floor: R of Poisson noise drawn from the expected counts themselves, which a perfect reconstruction reaches.
    """

    value: float
    floor: float

    @property
    def ratio(self) -> float:
        """How many times the floor the value is."""
        return self.value / self.floor


def residual(batches: Iterable[tuple[Tensor, Tensor]], generator: Generator, ranks: Ranks = ALONE) -> Residual:
    """R over batches of (expected, measured) counts, both zero on bad pixels.

    Args:
        batches: pairs of tensors (pattern, h, w), those of this process.
        generator: draws the noise of the floor, on the device of the batches.
        ranks: the place of this process; all of them must call this.
    """
    misfit = noise = measured_total = expected_total = 0.0
    for expected, counts in batches:
        amplitude = expected.sqrt()
        drawn = draw_counts(expected, generator)
        misfit += float((amplitude - counts.sqrt()).square().sum())
        noise += float((amplitude - drawn.sqrt()).square().sum())
        measured_total += float(counts.sum())
        expected_total += float(drawn.sum())
    sums = ranks.sum(tensor([misfit, noise, measured_total, expected_total], dtype=float64))
    misfit, noise, measured_total, expected_total = sums.tolist()
    return Residual((misfit / measured_total) ** 0.5, (noise / expected_total) ** 0.5)
