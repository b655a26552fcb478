"""Patterns to object patches: what a network sees, the networks, and what is made of their channels."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torch.nn.functional import pad

from ptycho_torch.physics.pattern_update import update_patches
from ptycho_torch.physics.propagate import sum_intensities

# share of the brightest pixel of a probe at which half of a patch is vacuum
_HALF_VACUUM = 1e-3
# brings an update, a few tenths for a strong object, to the order of 1
_UPDATE_SCALE = 4.0


class Generator(nn.Module):
    """Normalised amplitudes to complex object patches, each pattern by itself.

    Args:
        body: channels of images to two real channels.
        head: these to complex patches.
        corrections: networks that follow one another; each sees the two channels so far and the solver's update of
            their patches, and adds to the two channels.
        seen: what the body sees: 'pattern', 'update' (of vacuum) or 'both'.
        centred: whether only the middle half of a patch comes from the network.
    """

    def __init__(
        self,
        body: nn.Module,
        head: nn.Module,
        corrections: Iterable[nn.Module] = (),
        *,
        seen: str = "pattern",
        centred: bool = False,
    ) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self.corrections = nn.ModuleList(corrections)
        self._seen = seen
        self._centred = centred
        self._cropped = crops_input(seen, centred=centred)

    @property
    def networks(self) -> list[nn.Module]:
        """The networks in the order in which they are applied."""
        return [self.body, *self.corrections]

    def forward(
        self,
        amplitude: Float[Tensor, "pattern h w"],
        probes: Complex[Tensor, "#pattern mode h w"],
        good: Float[Tensor, "#pattern h w"] | None = None,
    ) -> Complex[Tensor, "pattern h w"]:
        """Make patches: vacuum everywhere before any training, and always where the probe is dark.

        Args:
            amplitude: patterns, normalised by `physics.scale.make_network_input`.
            probes: one probe or one for each pattern, in any unit.
            good: 1 on good detector pixels, 0 on bad ones, where the amplitudes are 0 too; None if all are good.
        """
        weight = self._weigh_pixels(sum_intensities(probes))
        channels = self.body(self._crop(self._make_input(amplitude, probes, good)))
        patches = self._make_patches(channels, weight)
        for correction in self.corrections:
            update = self._crop(_make_update(patches, amplitude, probes, good))
            channels = channels + correction(torch.cat([channels, update], dim=1))
            patches = self._make_patches(channels, weight)
        return patches

    def _make_input(self, amplitude: Tensor, probes: Tensor, good: Tensor | None) -> Tensor:
        pattern = amplitude.unsqueeze(1)
        if self._seen == "pattern":
            return pattern
        update = _make_update(torch.ones_like(probes[:, 0]), amplitude, probes, good)
        return update if self._seen == "update" else torch.cat([pattern, update], dim=1)

    def _make_patches(self, channels: Tensor, weight: Tensor) -> Tensor:
        # the networks may compute in low precision, patches may not
        channels = channels.to(weight.dtype)
        if self._cropped:
            channels = _pad(channels, weight.shape[-1])
        return 1 + weight * (self.head(channels) - 1)

    def _weigh_pixels(self, illumination: Tensor) -> Tensor:
        """Share of the network in each pixel of a patch, the rest of which is vacuum."""
        weight = illumination / (illumination + _HALF_VACUUM * illumination.amax(dim=(-2, -1), keepdim=True))
        return _pad(_crop(weight), weight.shape[-1]) if self._centred else weight

    def _crop(self, images: Tensor) -> Tensor:
        return _crop(images) if self._cropped else images


def crops_input(seen: str, *, centred: bool) -> bool:
    """Whether the networks see the middle half of their images alone; a pattern must be seen whole."""
    return centred and seen == "update"


def _make_update(patches: Tensor, amplitude: Tensor, probes: Tensor, good: Tensor | None) -> Tensor:
    """Real and imaginary part of an update as two channels."""
    update = _UPDATE_SCALE * update_patches(patches, amplitude, probes, good)
    return torch.stack([update.real, update.imag], dim=1)


def _crop(images: Tensor) -> Tensor:
    """The middle half of rows and columns."""
    margin = images.shape[-1] // 4
    return images[..., margin : images.shape[-2] - margin, margin : images.shape[-1] - margin]


def _pad(images: Tensor, side_px: int) -> Tensor:
    """Zeros around the middle half of images of side_px × side_px."""
    return pad(images, [side_px // 4] * 4)
