"""Settings to a network, without Lightning: also what weights from a file are put into."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ptycho_torch.config import Experiment
from ptycho_torch.networks.build import Generator, build_generator


def build_network(experiment: Experiment, patch_px: int) -> Generator:
    """The generator that the settings name, its weights drawn by the training seed.

    Raises:
        ConfigError: it cannot take patterns of this size.
    """
    model = experiment.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(experiment.training.seed)
        return build_generator(
            model.network,
            patch_px=patch_px,
            width=model.width,
            depth=model.depth,
            output=model.output,
            amplitude=model.amplitude,
            phase=model.phase,
            field=model.field,
            normalisation=model.normalisation,
            decoders=model.decoders,
            encoder_attention=model.encoder_attention,
            bottleneck_attention=model.bottleneck_attention,
            decoder_attention=model.decoder_attention,
            attention_kernel_px=model.attention_kernel_px,
        )


def restored_network(experiment: Experiment, patch_px: int, weights: Mapping[str, Tensor]) -> Generator:
    """The generator with weights from a file, in evaluation mode.

    No memory is taken for a network before the weights are known to be its own.

    Raises:
        ValueError: names, shapes or types of the weights are not those of the network, or it cannot be built.
    """
    with torch.device("meta"):
        generator = build_network(experiment, patch_px)
    wanted = {name: (value.shape, value.dtype) for name, value in generator.state_dict().items()}
    found = {name: (value.shape, value.dtype) for name, value in weights.items()}
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        raise ValueError(f"the weights {wrong[0][:60]!r} are not those of the network")
    generator.load_state_dict(weights, assign=True)
    return generator.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
