"""Spectral and local residual network.

Each block adds to its features what a convolution with the size of the whole image, which is given by its low
frequencies, and a local 3 × 3 convolution make of them together. Features are normalised before they are convolved,
so that no channel dies. Four by four pixels are folded into one feature, for the same reason as in the U-Net.

Z. Li et al., "Fourier Neural Operator for Parametric Partial Differential Equations", ICLR 2021; the local path:
M. Liu-Schiaffini et al., "Neural Operators with Localized Integral and Differential Kernels", ICML 2024.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ptycho_torch.config import ModelSettings
from ptycho_torch.config.model import Normalisation
from ptycho_torch.errors import ConfigError
from ptycho_torch.networks.blocks import make_normalisation, zero
from ptycho_torch.networks.fold import find_fold

_FOLD_PX = 4
_MODES = 8


class SpectralNetwork(nn.Module):
    """Images of several channels to two real channels.

    Args:
        settings: width, blocks, modes, fold and normalisation.
        channels: channels of the input.
        side_px: side of the images.

    Raises:
        ConfigError: the fold or the modes do not fit the images.
    """

    def __init__(self, settings: ModelSettings, channels: int, side_px: int) -> None:
        super().__init__()
        fold, width, norm = find_fold(settings, side_px, _FOLD_PX), settings.features, settings.normalisation
        modes = _find_modes(settings, side_px // fold)
        self.body = nn.Sequential(
            nn.PixelUnshuffle(fold),
            nn.Conv2d(channels * fold**2, width, 3, padding=1),
            *(SpectralBlock(width, modes, norm) for _ in range(settings.blocks)),
            make_normalisation(width, norm),
            nn.SiLU(),
            zero(nn.Conv2d(width, 2 * fold**2, 3, padding=1)),
            nn.PixelShuffle(fold),
        )

    def forward(self, images: Float[Tensor, "pattern channel h w"]) -> Float[Tensor, "pattern 2 h w"]:
        """Compute the two channels, zero before any training: the last convolution is zero-initialised."""
        return self.body(images)


class SpectralBlock(nn.Module):
    """x + C₂(σ(n(S(y) + C₁(y)))) with y = n(x), S spectral, C₁ and C₂ local convolutions, n a normalisation."""

    def __init__(self, width: int, modes: int, norm: Normalisation) -> None:
        super().__init__()
        self.before = make_normalisation(width, norm)
        self.spectral = SpectralConvolution(width, width, modes)
        self.local = nn.Conv2d(width, width, 3, padding=1)
        self.after = nn.Sequential(make_normalisation(width, norm), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))

    def forward(self, features: Float[Tensor, "pattern channel h w"]) -> Float[Tensor, "pattern channel h w"]:
        """Add to the features."""
        normal = self.before(features)
        return features + self.after(self.spectral(normal) + self.local(normal))


class SpectralConvolution(nn.Module):
    """Periodic convolution whose transfer function is zero beyond the lowest frequencies.

    Only the frequencies that are kept are computed, as products with a few rows of the Fourier matrices: a small part
    of an FFT's result, in real arithmetic, which every precision and compiler supports.

    Attributes:
        weight: (2, column frequency · row frequency, channel in, channel out) real and imaginary part of the transfer
            function at the frequencies 0 … modes along columns and −modes … modes along rows; those of negative
            frequencies along columns follow, since features are real.

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output.
        modes: highest frequency along each axis, in periods per image.
    """

    def __init__(self, channels_in: int, channels_out: int, modes: int) -> None:
        super().__init__()
        self._modes = modes
        frequencies = (modes + 1) * (2 * modes + 1)
        self.weight = nn.Parameter(torch.empty(2, frequencies, channels_in, channels_out))
        nn.init.normal_(self.weight, std=(2 * channels_in) ** -0.5)

    def forward(self, features: Float[Tensor, "pattern channel h w"]) -> Float[Tensor, "pattern out h w"]:
        """Convolve."""
        height, width = features.shape[-2:]
        rows, columns = 2 * self._modes + 1, self._modes + 1
        down = _make_waves(-self._modes, self._modes, height, features)
        across = _make_waves(0, self._modes, width, features)
        # from here on the column frequency comes before the row frequency
        spectrum = (features @ torch.cat([across[0], -across[1]]).mT).mT @ torch.cat(down).mT
        parts = spectrum.unflatten(-1, (2, rows)).unflatten(2, (2, columns))
        real = parts[:, :, 0, :, 0] + parts[:, :, 1, :, 1]
        imaginary = parts[:, :, 1, :, 0] - parts[:, :, 0, :, 1]
        mixed = self._mix(torch.cat([real, imaginary], dim=1).flatten(2)).unflatten(-1, (columns, rows))
        real, imaginary = mixed.chunk(2, dim=1)
        back = torch.cat([torch.cat(down, dim=1), torch.cat([-down[1], down[0]], dim=1)])
        lines = (torch.cat([real, imaginary], dim=-1) @ back).unflatten(-1, (2, height))
        # each column frequency but 0 also stands for its negative
        share = torch.full((columns, 1), 2 / (height * width), dtype=features.dtype, device=features.device)
        share[0] /= 2
        return lines.movedim(-1, 2).mT.flatten(-2) @ torch.cat([share * across[0], -share * across[1]])

    def _mix(self, spectrum: Tensor) -> Tensor:
        """Multiply by the transfer function, (pattern, real and imaginary channel, frequency)."""
        real, imaginary = self.weight
        matrix = torch.cat([torch.cat([real, imaginary], dim=2), torch.cat([-imaginary, real], dim=2)], dim=1)
        return torch.bmm(spectrum.permute(2, 0, 1), matrix).permute(1, 2, 0)


def _make_waves(lowest: int, highest: int, side: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of each frequency over a side, (frequency, pixel)."""
    frequencies = torch.arange(lowest, highest + 1, device=like.device)
    periods = (frequencies[:, None] * torch.arange(side, device=like.device)) % side
    angle = periods.double() * (2 * math.pi / side)
    return angle.cos().to(like.dtype), angle.sin().to(like.dtype)


def _find_modes(settings: ModelSettings, side: int) -> int:
    """Find the highest frequency for side × side features.

    Raises:
        ConfigError: the features do not have that frequency.
    """
    most = (side - 1) // 2
    if settings.spectral_modes is None:
        return min(_MODES, most)
    if settings.spectral_modes > most:
        raise ConfigError(
            f"ModelSettings.spectral_modes is {settings.spectral_modes}; {side} × {side} features have at most {most}, "
            "use fewer or a smaller fold_px"
        )
    return settings.spectral_modes
