"""Figures of what a network makes of the stored test tensors, which follow from the files of a version alone."""

from __future__ import annotations

from torch import Tensor, finfo

from ptycho_torch.export.example import Example
from ptycho_torch.physics.forward import expect_counts

# the names of these figures begin with it
_PREFIX = "test_"


def measure_figures(example: Example, patches: Tensor) -> dict[str, float]:
    """How patches explain the patterns of the test tensors, and their mean amplitude.

    Args:
        example: the test tensors.
        patches: (pattern, h, w) what a network makes of them.

    Returns:
        `test_R`, √(Σ(√λ−s·u)²/Σλ) with the scale s of the network's input u that explains the patterns best, and
        `test_amplitude`.
    """
    probes = example.probe.expand(len(patches), -1, -1, -1)
    expected = (expect_counts(patches, probes) * example.good).sqrt().double()
    measured = example.amplitude.double()
    scale = (expected * measured).sum() / measured.square().sum().clamp_min(finfo(measured.dtype).tiny)
    residual = (expected - scale * measured).square().sum() / expected.square().sum()
    return {f"{_PREFIX}R": float(residual.sqrt()), f"{_PREFIX}amplitude": float(patches.abs().mean())}
