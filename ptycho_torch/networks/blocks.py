"""Building blocks: normalised convolutions, branches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

NormalisationName = Literal["group", "batch"]

_GROUP_CHANNELS = 8


def normalisation(channels: int, kind: NormalisationName = "group") -> nn.Module:
    """Group normalisation with about eight channels a group, independent of the batch, or batch normalisation."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    groups = max(1, channels // _GROUP_CHANNELS)
    while channels % groups:
        groups -= 1
    return nn.GroupNorm(groups, channels)


def convolution(
    channels_in: int, channels_out: int, *, stride: int = 1, norm: NormalisationName = "group"
) -> nn.Sequential:
    """3 × 3 convolution, normalisation, SiLU; a stride of 2 halves the resolution."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
        normalisation(channels_out, norm),
        nn.SiLU(),
    )


class Residual(nn.Module):
    """x + two convolutions of x, with normalisation before each, so that no unit can die."""

    def __init__(self, channels: int, norm: NormalisationName = "group") -> None:
        super().__init__()
        self.body = nn.Sequential(
            normalisation(channels, norm),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            normalisation(channels, norm),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape (batch, channels, h, w)."""
        result: Tensor = features + self.body(features)
        return result


class Branches(nn.Module):
    """Several modules that see the same features; their channels one after another."""

    def __init__(self, branches: Iterable[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, h, w) to (batch, channels of all branches, h, w)."""
        return torch.cat([branch(features) for branch in self.branches], dim=1)
