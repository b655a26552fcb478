"""Encoder and decoder without skip connections.

A diffraction pattern and its patch share no pixel-to-pixel layout, so that skip connections would only carry the shape
of the pattern into the object. Two by two pixels are folded into channels before the first convolution and unfolded
after the last one: convolutions with few channels at full resolution take the most time on a CPU and contribute least.
"""

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from ptycho_torch.config import ModelSettings
from ptycho_torch.config.model import Normalisation
from ptycho_torch.errors import ConfigError
from ptycho_torch.networks.attention import add_attention
from ptycho_torch.networks.blocks import Branches, Residual, make_convolution, zero

_FOLD = 2
# the lowest resolution has at least so many features along each side
_LEAST_FEATURES = 4
# side of spatial attention's convolution everywhere but in the decoder, whose side is a setting
_KERNEL_PX = 7


class UNet(nn.Module):
    """Images of several channels to two real channels.

    Args:
        settings: width, depth, decoders, normalisation and attention.
        channels: channels of the input.
        side_px: side of the images.

    Raises:
        ConfigError: the network is too deep for the images.
    """

    def __init__(self, settings: ModelSettings, channels: int, side_px: int) -> None:
        super().__init__()
        if side_px % 2**settings.depth or side_px // 2**settings.depth < _LEAST_FEATURES:
            raise ConfigError(
                f"ModelSettings.depth is {settings.depth}; patterns of {side_px} px cannot be halved that often, "
                "use a smaller depth"
            )
        width, norm = settings.features, settings.normalisation
        widths = [width * 2**level for level in range(settings.depth)]
        down = [
            nn.Sequential(
                make_convolution(above, below, stride=2, norm=norm), make_convolution(below, below, norm=norm)
            )
            for above, below in pairwise(widths)
        ]

        def make_decoder(outputs: int) -> list[nn.Module]:
            kind, kernel_px = settings.decoder_attention, settings.attention_kernel_px
            up = [
                add_attention(_make_level_up(below, above, norm), kind, above, kernel_px)
                for above, below in reversed(list(pairwise(widths)))
            ]
            return [*up, _make_last(width, outputs), nn.PixelShuffle(_FOLD)]

        # the order in which parts are made decides which weights a seed draws for them
        separate = settings.decoders == "separate"
        ends = [Branches(nn.Sequential(*make_decoder(1)) for _ in range(2))] if separate else make_decoder(2)
        first, lowest = make_convolution(channels * _FOLD**2, width, norm=norm), Residual(widths[-1], norm)
        encoder = [
            add_attention(level, settings.encoder_attention, size, _KERNEL_PX)
            for level, size in zip([first, *down], widths, strict=True)
        ]
        bottleneck = add_attention(lowest, settings.bottleneck_attention, widths[-1], _KERNEL_PX)
        self.body = nn.Sequential(nn.PixelUnshuffle(_FOLD), *encoder, bottleneck, *ends)

    def forward(self, images: Float[Tensor, "pattern channel h w"]) -> Float[Tensor, "pattern 2 h w"]:
        """Compute the two channels, zero before any training: the last convolution is zero-initialised."""
        return self.body(images)


def _make_level_up(below: int, above: int, norm: Normalisation) -> nn.Module:
    mix, upsample = nn.Conv2d(below, above, 1), nn.Upsample(scale_factor=2)
    return nn.Sequential(mix, upsample, make_convolution(above, above, norm=norm))


def _make_last(width: int, outputs: int) -> nn.Module:
    return zero(nn.Conv2d(width, outputs * _FOLD**2, 3, padding=1))
