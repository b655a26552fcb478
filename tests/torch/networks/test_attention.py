from __future__ import annotations

import numpy as np
import pytest
import torch

from ptycho_torch.networks.attention import ChannelAttention, EfficientChannelAttention, SpatialAttention, add_attention


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


@pytest.fixture
def features() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(2, 32, 6, 5, dtype=torch.float64)


def test_channel_attention_agrees_with_its_formula(features: torch.Tensor) -> None:
    layer = ChannelAttention(32).double()
    first, second = (weight.detach().numpy()[:, :, 0, 0] for weight in layer.parameters())
    assert first.shape == (2, 32)
    given = features.numpy()
    gates = sum(second @ np.maximum(first @ row, 0) for row in (given.mean((2, 3)).T, given.max((2, 3)).T))
    wanted = given * sigmoid(np.asarray(gates)).T[:, :, None, None]
    np.testing.assert_allclose(layer(features).detach().numpy(), wanted, rtol=1e-10)


@pytest.mark.parametrize("kernel_px", [3, 7])
def test_spatial_attention_agrees_with_its_formula(kernel_px: int, features: torch.Tensor) -> None:
    layer, reach = SpatialAttention(kernel_px).double(), kernel_px // 2
    kernel, given = layer.convolution.weight.detach().numpy()[0], features.numpy()
    pooled = np.pad(np.stack([given.mean(1), given.max(1)], axis=1), ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    gates = np.zeros((2, 6, 5))
    for row in range(6):
        for column in range(5):
            part = pooled[:, :, row : row + kernel_px, column : column + kernel_px]
            gates[:, row, column] = (part * kernel).sum((1, 2, 3))
    np.testing.assert_allclose(layer(features).detach().numpy(), given * sigmoid(gates)[:, None], rtol=1e-10)


# |(log2 C + 1) / 2| to the odd number that is not below it
@pytest.mark.parametrize(("channels", "reach"), [(4, 1), (16, 3), (32, 3), (64, 3), (128, 5), (256, 5)])
def test_efficient_channel_attention_agrees_with_its_formula(channels: int, reach: int) -> None:
    torch.manual_seed(0)
    features = torch.randn(2, channels, 6, 5, dtype=torch.float64)
    layer, given = EfficientChannelAttention(channels).double(), features.numpy()
    kernel = layer.convolution.weight.detach().numpy()[0, 0]
    assert len(kernel) == reach
    pooled = np.pad(given.mean((2, 3)), ((0, 0), (reach // 2, reach // 2)))
    gates = np.stack([pooled[:, start : start + reach] @ kernel for start in range(channels)], axis=1)
    np.testing.assert_allclose(layer(features).detach().numpy(), given * sigmoid(gates)[:, :, None, None], rtol=1e-10)


def test_without_attention_a_block_is_returned_as_it_is() -> None:
    block = torch.nn.Identity()
    assert add_attention(block, "none", 8, 7) is block


def test_both_halves_follow_one_another(features: torch.Tensor) -> None:
    torch.manual_seed(1)
    whole = add_attention(torch.nn.Identity(), "cbam", 32, 3).double()
    channel, spatial = (part for part in whole.modules() if isinstance(part, ChannelAttention | SpatialAttention))
    torch.testing.assert_close(whole(features), spatial(channel(features)))
