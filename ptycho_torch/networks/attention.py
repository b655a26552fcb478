"""Attention: features weighted by channel, by pixel, or by both, in their own shape.

CBAM: Woo et al., "CBAM: Convolutional Block Attention Module", ECCV 2018.
ECA: Wang et al., "ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks", CVPR 2020.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ptycho_torch.config.model import Attention

# CBAM's reduction ratio
_REDUCTION = 16


class ChannelAttention(nn.Module):
    """CBAM's first half: M_c = σ(MLP(mean over pixels) + MLP(maximum over pixels))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // _REDUCTION)
        self.perceptron = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False), nn.ReLU(), nn.Conv2d(hidden, channels, 1, bias=False)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Weight features, (batch, channels, h, w)."""
        mean, most = features.mean(dim=(-2, -1), keepdim=True), features.amax(dim=(-2, -1), keepdim=True)
        return features * torch.sigmoid(self.perceptron(mean) + self.perceptron(most))


class SpatialAttention(nn.Module):
    """CBAM's second half: M_s = σ(convolution of [mean over channels, maximum over channels]).

    Args:
        kernel_px: side of the convolution, odd.
    """

    def __init__(self, kernel_px: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 1, kernel_px, padding=kernel_px // 2, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Weight features, (batch, channels, h, w)."""
        statistics = torch.cat([features.mean(dim=1, keepdim=True), features.amax(dim=1, keepdim=True)], dim=1)
        return features * torch.sigmoid(self.convolution(statistics))


class EfficientChannelAttention(nn.Module):
    """ω = σ(convolution over the channels' means), with a kernel of |(log₂C + 1)/2| channels, made odd."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        kernel = int((math.log2(channels) + 1) / 2)
        kernel += 1 - kernel % 2
        self.convolution = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Weight features, (batch, channels, h, w)."""
        weights = self.convolution(features.mean(dim=(-2, -1)).unsqueeze(1)).squeeze(1)
        return features * torch.sigmoid(weights)[:, :, None, None]


def add_attention(block: nn.Module, kind: Attention, channels: int, kernel_px: int) -> nn.Module:
    """Add attention to the output of a block.

    Args:
        block: its output has `channels` channels.
        kind: 'cbam' (by channel, then by pixel), 'eca' (by channel), 'spatial' (by pixel) or 'none'.
        channels: number of channels.
        kernel_px: side of the convolution of attention by pixel.
    """
    if kind == "cbam":
        return nn.Sequential(block, ChannelAttention(channels), SpatialAttention(kernel_px))
    if kind == "eca":
        return nn.Sequential(block, EfficientChannelAttention(channels))
    if kind == "spatial":
        return nn.Sequential(block, SpatialAttention(kernel_px))
    return block
