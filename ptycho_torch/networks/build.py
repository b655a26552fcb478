"""The registry of networks: a name to something that builds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from ptycho_torch.errors import ConfigError
from ptycho_torch.networks.heads import AmplitudePhase, RealImaginary
from ptycho_torch.networks.unet import UNet

Builder = Callable[..., nn.Module]

# of the brightest pixel: where a probe is this faint, half of the patch is empty space
_DARK = 1e-3

NETWORKS: dict[str, Builder] = {"unet": UNet}


class Generator(nn.Module):
    """A network with its head: normalised amplitudes to complex object patches, each pattern by itself.

    Args:
        body: patterns to two real channels.
        head: these to complex patches.
        centred: leave only the middle half of a patch to the network.
    """

    def __init__(self, body: nn.Module, head: nn.Module, *, centred: bool = False) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self._centred = centred

    def forward(
        self, amplitude: Float[Tensor, "pattern h w"], light: Float[Tensor, "#pattern h w"]
    ) -> Complex[Tensor, "pattern h w"]:
        """Patches that are 1 everywhere before any training, and where the probe is dark always.

        Args:
            amplitude: patterns as `physics.scale.make_network_input` makes them.
            light: probe intensity, of one probe or one for each pattern, in any unit.
        """
        patches: Tensor = self.head(self.body(amplitude.unsqueeze(1)))
        weight = light / (light + _DARK * light.amax(dim=(-2, -1), keepdim=True))
        if self._centred:
            weight = weight * _middle_half(light)
        return 1 + weight * (patches - 1)


def _middle_half(light: Float[Tensor, "#pattern h w"]) -> Float[Tensor, "h w"]:
    """1 in the middle half of rows and columns, 0 around it."""
    height, width = light.shape[-2:]
    result = light.new_zeros(height, width)
    result[height // 4 : height - height // 4, width // 4 : width - width // 4] = 1
    return result


def build_generator(
    network: str,
    *,
    patch_px: int,
    width: int,
    depth: int,
    output: str,
    amplitude: str,
    phase: str,
    field: str = "whole",
    **choices: Any,  # noqa: ANN401 - the network's own
) -> Generator:
    """Build a generator by name for patterns of a size.

    Args:
        network: a name in `NETWORKS`.
        patch_px: side of the patterns.
        width: channels at half resolution.
        depth: levels of resolution.
        output: 'amplitude_phase' or 'real_imag'.
        amplitude: activation of the amplitude.
        phase: activation of the phase.
        field: 'whole', or 'centre': empty space outside of the middle half of a patch.
        choices: whatever else the network takes.

    Raises:
        ConfigError: the size cannot be halved as often as asked.
    """
    if patch_px % 2**depth or patch_px // 2**depth < 4:
        raise ConfigError(
            f"ModelSettings.depth is {depth}; patterns of {patch_px} px cannot be halved so often, take a smaller depth"
        )
    head = AmplitudePhase(amplitude, phase) if output == "amplitude_phase" else RealImaginary()
    body = NETWORKS[network](width, depth, **choices)
    # channels last: convolutions on a CPU are about a tenth faster to train and a third faster to run
    return Generator(body, head, centred=field == "centre").to(memory_format=torch.channels_last)  # type: ignore[call-overload]
