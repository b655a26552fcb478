"""Settings to a network with its head."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ptycho_torch.config import Experiment, ModelSettings
from ptycho_torch.networks.generator import Generator, crops_input
from ptycho_torch.networks.heads import AmplitudePhase, RealImaginary
from ptycho_torch.networks.spectral import SpectralNetwork
from ptycho_torch.networks.transformer import Transformer
from ptycho_torch.networks.unet import UNet

__all__ = ["NETWORKS", "Generator", "build_network"]

# a network is made from settings, number of channels and side of its images in pixels; it raises ConfigError if the
# settings do not fit the images
NETWORKS: dict[str, Callable[[ModelSettings, int, int], nn.Module]] = {
    "unet": UNet,
    "spectral": SpectralNetwork,
    "transformer": Transformer,
}
# channels of what the first network sees; those after it see the two channels so far and the two of the update
_CHANNELS = {"pattern": 1, "update": 2, "both": 3}
_CORRECTION_CHANNELS = 4


def build_network(experiment: Experiment, patch_px: int) -> Generator:
    """Build the network that the settings specify, with weights drawn from the seed of the training.

    Raises:
        ConfigError: it does not fit patterns of patch_px × patch_px.
    """
    model = experiment.model
    head = AmplitudePhase(model.amplitude, model.phase) if model.output == "amplitude_phase" else RealImaginary()
    centred = model.field == "centre"
    side_px = patch_px - 2 * (patch_px // 4) if crops_input(model.seen, centred=centred) else patch_px
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(experiment.training.seed)
        body, *corrections = (
            NETWORKS[model.network](model, _CORRECTION_CHANNELS if stage else _CHANNELS[model.seen], side_px)
            for stage in range(model.networks)
        )
    generator = Generator(body, head, corrections, seen=model.seen, centred=centred)
    # channels last: on a CPU, convolutions train about a tenth faster and predict a third faster
    return generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
