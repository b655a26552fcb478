"""Encoder and decoder without skip connections.

A diffraction pattern and the patch that made it share no pixel-to-pixel layout, so that skips would only carry the
pattern's shape into the object. Two by two pixels are folded into channels at the entrance and unfolded at the exit:
convolutions with few channels at full resolution cost the most time on a CPU and teach the network the least.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from ptycho_torch.networks.attention import AttentionName, attended
from ptycho_torch.networks.blocks import Branches, NormalisationName, Residual, convolution

_FOLD = 2
_KERNEL_PX = 7


class UNet(nn.Module):
    """Normalised amplitudes to two real channels.

    Args:
        width: channels at half resolution; they double at each further level.
        depth: levels of resolution; the patterns' side must be a multiple of 2**depth.
        normalisation: 'group' or 'batch'.
        decoders: 'shared' by the two channels, or 'separate' for each.
        encoder_attention: after each level on the way down.
        bottleneck_attention: at the lowest resolution.
        decoder_attention: after each level on the way up.
        attention_kernel_px: side of the convolution of the decoder's attention by place; it is 7 elsewhere.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        normalisation: NormalisationName = "group",
        decoders: Literal["shared", "separate"] = "shared",
        encoder_attention: AttentionName = "none",
        bottleneck_attention: AttentionName = "none",
        decoder_attention: AttentionName = "none",
        attention_kernel_px: int = 7,
    ) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(depth)]
        down = [
            nn.Sequential(
                convolution(above, below, stride=2, norm=normalisation), convolution(below, below, norm=normalisation)
            )
            for above, below in pairwise(channels)
        ]

        def decoder(outputs: int) -> list[nn.Module]:
            up = [
                attended(_up(below, above, normalisation), decoder_attention, above, attention_kernel_px)
                for above, below in reversed(list(pairwise(channels)))
            ]
            return [*up, _last(width, outputs), nn.PixelShuffle(_FOLD)]

        # the order in which parts are made decides which weights a seed draws for them
        ends = [Branches(nn.Sequential(*decoder(1)) for _ in range(2))] if decoders == "separate" else decoder(2)
        first, lowest = convolution(_FOLD**2, width, norm=normalisation), Residual(channels[-1], normalisation)
        encoder = [
            attended(level, encoder_attention, size, _KERNEL_PX)
            for level, size in zip([first, *down], channels, strict=True)
        ]
        self.body = nn.Sequential(
            nn.PixelUnshuffle(_FOLD),
            *encoder,
            attended(lowest, bottleneck_attention, channels[-1], _KERNEL_PX),
            *ends,
        )

    def forward(self, amplitude: Float[Tensor, "pattern 1 h w"]) -> Float[Tensor, "pattern 2 h w"]:
        """Zero everywhere before any training: the last convolution is zero-initialised."""
        result: Tensor = self.body(amplitude)
        return result


def _up(below: int, above: int, norm: NormalisationName) -> nn.Module:
    return nn.Sequential(nn.Conv2d(below, above, 1), nn.Upsample(scale_factor=2), convolution(above, above, norm=norm))


def _last(width: int, outputs: int) -> nn.Module:
    last = nn.Conv2d(width, outputs * _FOLD**2, 3, padding=1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return last
