"""Vision transformer: squares of pixels as tokens that attend to one another.

A. Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", ICLR 2021.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, scaled_dot_product_attention

from ptycho_torch.config import ModelSettings
from ptycho_torch.errors import ConfigError
from ptycho_torch.networks.blocks import zero
from ptycho_torch.networks.fold import find_fold

_FOLD_PX = 8
_EXPANSION = 4
_POSITION_SPREAD = 0.02


class Transformer(nn.Module):
    """Images of several channels to two real channels.

    Args:
        settings: width, blocks, heads and fold.
        channels: channels of the input.
        side_px: side of the images.

    Raises:
        ConfigError: the fold does not fit the images, or the heads do not divide the width.
    """

    def __init__(self, settings: ModelSettings, channels: int, side_px: int) -> None:
        super().__init__()
        self._fold, width = find_fold(settings, side_px, _FOLD_PX), settings.features
        if width % settings.heads:
            raise ConfigError(f"ModelSettings.heads is {settings.heads}; it must divide the width, {width}")
        self.embed = nn.Conv2d(channels, width, self._fold, stride=self._fold)
        self.place = nn.Parameter(torch.empty(1, (side_px // self._fold) ** 2, width))
        nn.init.normal_(self.place, std=_POSITION_SPREAD)
        self.blocks = nn.Sequential(*(TransformerBlock(width, settings.heads) for _ in range(settings.blocks)))
        self.last = nn.Sequential(nn.LayerNorm(width), zero(nn.Linear(width, 2 * self._fold**2)))

    def forward(self, images: Float[Tensor, "pattern channel h w"]) -> Float[Tensor, "pattern 2 h w"]:
        """Compute the two channels, zero before any training: the last layer is zero-initialised."""
        features = self.embed(images)
        tokens = self.last(self.blocks(features.flatten(2).mT + self.place))
        return pixel_shuffle(tokens.mT.unflatten(-1, features.shape[-2:]), self._fold)


class TransformerBlock(nn.Module):
    """Attention among tokens, then a perceptron on each; both are added to the tokens and act on normalised ones."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.norm, self.inputs, self.outputs = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, _EXPANSION * width),
            nn.GELU(),
            nn.Linear(_EXPANSION * width, width),
        )

    def forward(self, tokens: Float[Tensor, "pattern token channel"]) -> Float[Tensor, "pattern token channel"]:
        """Add to the tokens."""
        query, key, value = self.inputs(self.norm(tokens)).unflatten(-1, (3, self._heads, -1)).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + self.outputs(attended)
        return tokens + self.perceptron(tokens)
