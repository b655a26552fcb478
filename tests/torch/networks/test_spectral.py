from __future__ import annotations

import numpy as np
import pytest
import torch

from ptycho_torch.networks.spectral import SpectralConvolution


def convolved(features: np.ndarray, transfer: np.ndarray, modes: int) -> np.ndarray:
    """By NumPy's FFT: the spectrum of low frequencies times a matrix each; everything else is zero."""
    height, width = features.shape[-2:]
    spectrum = np.fft.rfft2(features)
    result = np.zeros((len(features), transfer.shape[-1], height, width // 2 + 1), complex)
    for column in range(modes + 1):
        for row in range(-modes, modes + 1):
            result[:, :, row, column] = spectrum[:, :, row, column] @ transfer[column, row + modes]
    # frequency 0 along columns is its own negative: irfft2 takes the half of its matrix that keeps features real
    return np.fft.irfft2(result, s=(height, width))


@pytest.mark.parametrize(("height", "width", "modes"), [(8, 8, 3), (9, 9, 4), (16, 16, 2), (12, 10, 4)])
def test_the_convolution_is_the_one_by_fft(height: int, width: int, modes: int) -> None:
    torch.manual_seed(0)
    layer = SpectralConvolution(3, 5, modes).double()
    features = torch.randn(2, 3, height, width, dtype=torch.float64)
    real, imaginary = layer.weight.detach().numpy()
    transfer = (real + 1j * imaginary).reshape(modes + 1, 2 * modes + 1, 3, 5)
    found = layer(features).detach().numpy()
    np.testing.assert_allclose(found, convolved(features.numpy(), transfer, modes), atol=1e-12)


def test_the_convolution_commutes_with_shifts_of_an_image_without_edges() -> None:
    layer, features = SpectralConvolution(2, 2, 3), torch.randn(1, 2, 16, 16)
    moved = layer(features.roll((3, 5), (2, 3)))
    torch.testing.assert_close(moved, layer(features).roll((3, 5), (2, 3)), atol=1e-5, rtol=1e-5)


def test_the_same_weights_serve_images_of_every_size() -> None:
    """A smooth image sampled twice as finely gives the same result, sampled twice as finely."""
    layer = SpectralConvolution(1, 1, 3)
    grid = torch.arange(32) * (2 * torch.pi / 32)
    fine = (grid[:, None].cos() + (2 * grid[None, :] + grid[:, None]).sin())[None, None]
    torch.testing.assert_close(layer(fine)[..., ::2, ::2], layer(fine[..., ::2, ::2]), atol=1e-5, rtol=1e-5)


def test_features_keep_about_their_size_at_the_start() -> None:
    torch.manual_seed(0)
    features = torch.randn(4, 32, 16, 16)
    found = SpectralConvolution(32, 32, 7)(features)
    assert 0.5 < found.std() / features.std() < 2
