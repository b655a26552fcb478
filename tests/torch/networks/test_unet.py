from __future__ import annotations

import pytest
import torch

from ptycho_torch.networks.unet import UNet


def awake(width: int, depth: int) -> UNet:
    """A network whose last layer is not zero."""
    torch.manual_seed(0)
    network = UNet(width, depth)
    for weight in network.parameters():
        if weight.ndim == 4 and not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return network


@pytest.mark.parametrize(("width", "depth", "side"), [(4, 1, 16), (8, 2, 16), (8, 3, 32), (12, 2, 24)])
def test_the_shape_is_kept_and_the_start_is_zero(width: int, depth: int, side: int) -> None:
    found = UNet(width, depth)(torch.rand(3, 1, side, side))
    assert found.shape == (3, 2, side, side)
    assert not found.any()


def test_a_pattern_does_not_know_its_batch() -> None:
    network, patterns = awake(8, 2), torch.rand(4, 1, 16, 16)
    together = network(patterns)
    assert together.std() > 1e-3
    for number in range(4):
        torch.testing.assert_close(network(patterns[number : number + 1])[0], together[number], atol=1e-5, rtol=1e-4)


def test_every_weight_learns_after_the_first_step() -> None:
    network = awake(8, 3)
    network(torch.rand(2, 1, 32, 32)).square().sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.any(), name


def test_the_last_layer_learns_from_the_first_step() -> None:
    network = UNet(8, 2)
    network(torch.rand(2, 1, 16, 16)).sum().backward()
    assert any(weight.grad is not None and weight.grad.any() for weight in network.parameters())


def test_every_output_pixel_sees_the_whole_pattern() -> None:
    # object and pattern share no layout: a corner of one depends on the middle of the other
    network, pattern = awake(8, 3), torch.rand(1, 1, 16, 16, requires_grad=True)
    network(pattern)[0, 0, 0, 0].backward()
    assert pattern.grad is not None
    assert pattern.grad[0, 0, 8:, 8:].abs().max() > 0


def test_width_and_depth_add_weights() -> None:
    sizes = [sum(weight.numel() for weight in UNet(*shape).parameters()) for shape in ((8, 2), (16, 2), (16, 3))]
    assert sizes[0] < sizes[1] < sizes[2]
