from __future__ import annotations

from typing import Any

import pytest
import torch

from ptycho_torch.config import ModelSettings
from ptycho_torch.networks.attention import EfficientChannelAttention, SpatialAttention
from ptycho_torch.networks.unet import UNet


def unet(width: int, depth: int, **choices: Any) -> UNet:
    return UNet(ModelSettings(width=width, depth=depth, **choices), 1, 64)


def awake(width: int, depth: int, **choices: Any) -> UNet:
    """A network whose last layer is not zero."""
    torch.manual_seed(0)
    network = unet(width, depth, **choices)
    for weight in network.parameters():
        if weight.ndim > 1 and not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return network


@pytest.mark.parametrize(("width", "depth", "side"), [(4, 1, 16), (8, 2, 16), (8, 3, 32), (12, 2, 24)])
def test_the_shape_is_kept_and_the_start_is_zero(width: int, depth: int, side: int) -> None:
    found = unet(width, depth)(torch.rand(3, 1, side, side))
    assert found.shape == (3, 2, side, side)
    assert not found.any()


def test_a_pattern_does_not_know_its_batch() -> None:
    network, patterns = awake(8, 2), torch.rand(4, 1, 16, 16)
    together = network(patterns)
    assert together.std() > 1e-3
    for number in range(4):
        torch.testing.assert_close(network(patterns[number : number + 1])[0], together[number], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"normalisation": "batch"},
        {"decoders": "separate"},
        {"encoder_attention": "cbam", "bottleneck_attention": "eca", "decoder_attention": "spatial"},
        {"encoder_attention": "eca", "bottleneck_attention": "spatial", "decoder_attention": "cbam"},
    ],
    ids=str,
)
def test_every_weight_learns_after_the_first_step(choices: dict[str, Any]) -> None:
    network = awake(8, 3, **choices)
    network(torch.rand(2, 1, 32, 32)).square().sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.any(), name


def test_the_last_layer_learns_from_the_first_step() -> None:
    network = unet(8, 2)
    network(torch.rand(2, 1, 16, 16)).sum().backward()
    assert any(weight.grad is not None and weight.grad.any() for weight in network.parameters())


def test_every_output_pixel_sees_the_whole_pattern() -> None:
    # object and pattern share no layout: a corner of one depends on the middle of the other
    network, pattern = awake(8, 3), torch.rand(1, 1, 16, 16, requires_grad=True)
    network(pattern)[0, 0, 0, 0].backward()
    assert pattern.grad is not None
    assert pattern.grad[0, 0, 8:, 8:].abs().max() > 0


def test_width_and_depth_add_weights() -> None:
    sizes = [sum(weight.numel() for weight in unet(*shape).parameters()) for shape in ((8, 2), (16, 2), (16, 3))]
    assert sizes[0] < sizes[1] < sizes[2]


def test_attention_stands_where_it_was_asked_for() -> None:
    network = unet(
        8, 3, encoder_attention="eca", bottleneck_attention="cbam", decoder_attention="spatial", attention_kernel_px=5
    )
    places = {
        name.split(".")[1]: type(part)
        for name, part in network.named_modules()
        if isinstance(part, EfficientChannelAttention | SpatialAttention)
    }
    # three levels down, the bottleneck, two levels up
    assert {int(place): kind.__name__[:3] for place, kind in places.items()} == (
        {1: "Eff", 2: "Eff", 3: "Eff", 4: "Spa", 5: "Spa", 6: "Spa"}
    )
    kernels = {part.convolution.kernel_size for part in network.modules() if isinstance(part, SpatialAttention)}
    # the size that was asked for is the decoder's; elsewhere the kernels are those of the paper
    assert kernels == {(5, 5), (7, 7)}


def test_separate_decoders_share_only_the_encoder() -> None:
    network = awake(8, 3, decoders="separate")
    for channel in range(2):
        network.zero_grad()
        network(torch.rand(1, 1, 16, 16))[:, channel].square().sum().backward()
        learning = {
            name for name, weight in network.named_parameters() if weight.grad is not None and weight.grad.any()
        }
        decoders = [{name for name in learning if f"branches.{number}." in name} for number in range(2)]
        assert len(decoders[channel]) > 5
        assert not decoders[1 - channel]
        assert any(name.startswith("body.1.") for name in learning)


def test_batch_normalisation_looks_at_the_batch_in_training_only() -> None:
    network, patterns = awake(8, 2, normalisation="batch"), torch.rand(4, 1, 16, 16)
    assert (network(patterns)[:1] - network(patterns[:1])).abs().max() > 1e-3
    network.eval()
    torch.testing.assert_close(network(patterns[:1])[0], network(patterns)[0], atol=1e-5, rtol=1e-4)


def test_weights_keep_the_names_that_stored_networks_have() -> None:
    names = {name.rpartition(".")[0] for name in unet(8, 2).state_dict()}
    blocks = [f"{block}.{part}" for block in ("1", "2.0", "2.1", "4.2") for part in (0, 1)]
    assert names == {f"body.{name}" for name in [*blocks, "3.body.0", "3.body.2", "3.body.3", "3.body.5", "4.0", "5"]}
