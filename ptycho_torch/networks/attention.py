"""Attention: features weighted by channel, by place, or by both; what comes out has the shape of what went in.

CBAM: Woo et al., "CBAM: Convolutional Block Attention Module", ECCV 2018.
ECA: Wang et al., "ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks", CVPR 2020.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

AttentionName = Literal["none", "cbam", "eca", "spatial"]

# CBAM's reduction ratio
_REDUCTION = 16


class ChannelAttention(nn.Module):
    """CBAM's first half: M_c = σ(MLP(mean over places) + MLP(maximum over places))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // _REDUCTION)
        self.perceptron = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False), nn.ReLU(), nn.Conv2d(hidden, channels, 1, bias=False)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape (batch, channels, h, w)."""
        mean, most = features.mean(dim=(-2, -1), keepdim=True), features.amax(dim=(-2, -1), keepdim=True)
        result: Tensor = features * torch.sigmoid(self.perceptron(mean) + self.perceptron(most))
        return result


class SpatialAttention(nn.Module):
    """CBAM's second half: M_s = σ(convolution of [mean over channels, maximum over channels]).

    Args:
        kernel_px: side of the convolution, odd.
    """

    def __init__(self, kernel_px: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 1, kernel_px, padding=kernel_px // 2, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape (batch, channels, h, w)."""
        told = torch.cat([features.mean(dim=1, keepdim=True), features.amax(dim=1, keepdim=True)], dim=1)
        result: Tensor = features * torch.sigmoid(self.convolution(told))
        return result


class EfficientChannelAttention(nn.Module):
    """ω = σ(convolution of the places' means along the channels), its reach k = |(log₂C + 1)/2| made odd."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        reach = int((math.log2(channels) + 1) / 2)
        reach += 1 - reach % 2
        self.convolution = nn.Conv1d(1, 1, reach, padding=reach // 2, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape (batch, channels, h, w)."""
        weights = self.convolution(features.mean(dim=(-2, -1)).unsqueeze(1)).squeeze(1)
        result: Tensor = features * torch.sigmoid(weights)[:, :, None, None]
        return result


def attended(block: nn.Module, kind: AttentionName, channels: int, kernel_px: int) -> nn.Module:
    """A block with attention to what comes out of it, or the block itself.

    Args:
        block: makes features of so many channels.
        kind: 'cbam' (by channel, then by place), 'eca' (by channel), 'spatial' (by place) or 'none'.
        channels: of the features.
        kernel_px: side of the convolution over places.
    """
    if kind == "cbam":
        return nn.Sequential(block, ChannelAttention(channels), SpatialAttention(kernel_px))
    if kind == "eca":
        return nn.Sequential(block, EfficientChannelAttention(channels))
    if kind == "spatial":
        return nn.Sequential(block, SpatialAttention(kernel_px))
    return block
