"""Building blocks: normalised convolutions, last layers, branches."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ptycho_torch.config.model import Normalisation

_GROUP_CHANNELS = 8


def make_normalisation(channels: int, kind: Normalisation) -> nn.Module:
    """Group normalisation with about eight channels per group, independent of the batch, or batch normalisation."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    groups = max(1, channels // _GROUP_CHANNELS)
    while channels % groups:
        groups -= 1
    return nn.GroupNorm(groups, channels)


def make_convolution(channels_in: int, channels_out: int, *, stride: int = 1, norm: Normalisation) -> nn.Sequential:
    """3 × 3 convolution, normalisation, SiLU; a stride of 2 halves the resolution."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
        make_normalisation(channels_out, norm),
        nn.SiLU(),
    )


def zero(layer: nn.Conv2d | nn.Linear) -> nn.Module:
    """Set a last layer to zero, so that a network gives vacuum before any training."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class Residual(nn.Module):
    """x + two convolutions of x, each after normalisation, which keeps all channels trainable."""

    def __init__(self, channels: int, norm: Normalisation) -> None:
        super().__init__()
        layers = [
            (make_normalisation(channels, norm), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1))
            for _ in range(2)
        ]
        self.body = nn.Sequential(*layers[0], *layers[1])

    def forward(self, features: Tensor) -> Tensor:
        """Add to features, (batch, channels, h, w)."""
        return features + self.body(features)


class Branches(nn.Module):
    """Several modules with the same input; their channels one after another."""

    def __init__(self, branches: Iterable[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, channels, h, w) to (batch, channels of all branches, h, w)."""
        return torch.cat([branch(features) for branch in self.branches], dim=1)
