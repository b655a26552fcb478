"""Building blocks: normalised convolutions and changes of resolution."""

from __future__ import annotations

from torch import Tensor, nn

_GROUP_CHANNELS = 8


def normalisation(channels: int) -> nn.GroupNorm:
    """Group normalisation with about eight channels a group: independent of the batch, unlike batch normalisation."""
    groups = max(1, channels // _GROUP_CHANNELS)
    while channels % groups:
        groups -= 1
    return nn.GroupNorm(groups, channels)


def convolution(channels_in: int, channels_out: int, *, stride: int = 1) -> nn.Sequential:
    """3 × 3 convolution, normalisation, SiLU; a stride of 2 halves the resolution."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
        normalisation(channels_out),
        nn.SiLU(),
    )


class Residual(nn.Module):
    """x + two convolutions of x, with normalisation before each, so that no unit can die."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            normalisation(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            normalisation(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape (batch, channels, h, w)."""
        result: Tensor = features + self.body(features)
        return result
