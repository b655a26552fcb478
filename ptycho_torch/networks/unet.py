"""Encoder and decoder without skip connections.

A diffraction pattern and the patch that made it share no pixel-to-pixel layout, so that skips would only carry the
pattern's shape into the object. Two by two pixels are folded into channels at the entrance and unfolded at the exit:
convolutions with few channels at full resolution cost the most time on a CPU and teach the network the least.
"""

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from ptycho_torch.networks.blocks import Residual, convolution

_FOLD = 2


class UNet(nn.Module):
    """Normalised amplitudes to two real channels.

    Args:
        width: channels at half resolution; they double at each further level.
        depth: levels of resolution; the patterns' side must be a multiple of 2**depth.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(depth)]
        steps = list(pairwise(channels))
        down = [nn.Sequential(convolution(above, below, stride=2), convolution(below, below)) for above, below in steps]
        up = [
            nn.Sequential(nn.Conv2d(below, above, 1), nn.Upsample(scale_factor=2), convolution(above, above))
            for above, below in reversed(steps)
        ]
        last = nn.Conv2d(width, 2 * _FOLD**2, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.body = nn.Sequential(
            nn.PixelUnshuffle(_FOLD),
            convolution(_FOLD**2, width),
            *down,
            Residual(channels[-1]),
            *up,
            last,
            nn.PixelShuffle(_FOLD),
        )

    def forward(self, amplitude: Float[Tensor, "pattern 1 h w"]) -> Float[Tensor, "pattern 2 h w"]:
        """Zero everywhere before any training: the last convolution is zero-initialised."""
        result: Tensor = self.body(amplitude)
        return result
