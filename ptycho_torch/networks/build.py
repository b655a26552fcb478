"""Settings to a network with its head."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from ptycho_torch.config import Experiment, ModelSettings
from ptycho_torch.errors import ConfigError
from ptycho_torch.networks.heads import AmplitudePhase, RealImaginary
from ptycho_torch.networks.unet import UNet

# share of the brightest pixel of a probe at which half of a patch is vacuum
_HALF_VACUUM = 1e-3

NETWORKS: dict[str, Callable[[ModelSettings], nn.Module]] = {"unet": UNet}


class Generator(nn.Module):
    """A network with its head: normalised amplitudes to complex object patches, each pattern by itself.

    Args:
        body: patterns to two real channels.
        head: these to complex patches.
        centred: whether only the middle half of a patch comes from the network.
    """

    def __init__(self, body: nn.Module, head: nn.Module, *, centred: bool = False) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self._centred = centred

    def forward(
        self, amplitude: Float[Tensor, "pattern h w"], illumination: Float[Tensor, "#pattern h w"]
    ) -> Complex[Tensor, "pattern h w"]:
        """Make patches: vacuum everywhere before any training, and always where the probe is dark.

        Args:
            amplitude: patterns, normalised by `physics.scale.make_network_input`.
            illumination: probe intensity, of one probe or one for each pattern, in any unit.
        """
        # in mixed precision the body computes with fewer bits; complex numbers need all of them
        channels = self.body(amplitude.unsqueeze(1)).to(amplitude.dtype)
        patches: Tensor = self.head(channels)
        weight = illumination / (illumination + _HALF_VACUUM * illumination.amax(dim=(-2, -1), keepdim=True))
        if self._centred:
            weight = weight * _mask_middle_half(illumination)
        return 1 + weight * (patches - 1)


def _mask_middle_half(illumination: Float[Tensor, "#pattern h w"]) -> Float[Tensor, "h w"]:
    """1 in the middle half of rows and columns, 0 around it."""
    height, width = illumination.shape[-2:]
    result = illumination.new_zeros(height, width)
    result[height // 4 : height - height // 4, width // 4 : width - width // 4] = 1
    return result


def build_network(experiment: Experiment, patch_px: int) -> Generator:
    """Build the network that the settings specify, with weights drawn from the seed of the training.

    Raises:
        ConfigError: it is too deep for patterns of patch_px × patch_px.
    """
    model = experiment.model
    if patch_px % 2**model.depth or patch_px // 2**model.depth < 4:
        raise ConfigError(
            f"ModelSettings.depth is {model.depth}; patterns of {patch_px} px cannot be halved that often, "
            "use a smaller depth"
        )
    head = AmplitudePhase(model.amplitude, model.phase) if model.output == "amplitude_phase" else RealImaginary()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(experiment.training.seed)
        generator = Generator(NETWORKS[model.network](model), head, centred=model.field == "centre")
    # channels last: on a CPU, convolutions train about a tenth faster and predict a third faster
    return generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
