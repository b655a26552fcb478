"""The smallest network of the package in float64 NumPy, from its weights by name alone, to evaluate files with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from numpy_physics import Real, Wave

Weights = Mapping[str, NDArray[Any]]
_DARK = 1e-3


def silu(values: Real) -> Real:
    """x / (1 + exp(−x))."""
    result: Real = values / (1 + np.exp(-values))
    return result


def group_norm(features: Real, weights: Weights, name: str) -> Real:
    """Over all channels at once, as networks of few channels do; features are (channel, h, w)."""
    normal = (features - features.mean()) / np.sqrt(features.var() + 1e-5)
    return normal * weights[f"{name}.weight"][:, None, None] + weights[f"{name}.bias"][:, None, None]


def convolved(features: Real, weights: Weights, name: str) -> Real:
    """3 × 3 cross-correlation with zeros around the image."""
    kernel = weights[f"{name}.weight"].astype(float)
    height, width = features.shape[1:]
    padded = np.pad(features, ((0, 0), (1, 1), (1, 1)))
    result = np.zeros((len(kernel), height, width))
    for row in range(3):
        for column in range(3):
            part = padded[:, row : row + height, column : column + width]
            result += np.tensordot(kernel[:, :, row, column], part, 1)
    bias = weights.get(f"{name}.bias")
    return result if bias is None else result + bias[:, None, None]


def folded(image: Real) -> Real:
    """Two by two pixels as four channels."""
    return np.array([image[row::2, column::2] for row in range(2) for column in range(2)])


def unfolded(features: Real) -> Real:
    """Four channels as two by two pixels."""
    result = np.zeros((2 * features.shape[1], 2 * features.shape[2]))
    for number in range(4):
        result[number // 2 :: 2, number % 2 :: 2] = features[number]
    return result


def patch_of(weights: Weights, amplitude: Real, light: Real) -> Wave:
    """The object patch that a network of depth 1, at most 8 channels, softplus and linear phase makes of a pattern.

    Args:
        weights: of the model `diffraction_to_obj`.
        amplitude: (h, w) normalised amplitudes.
        light: (h, w) probe intensity.
    """
    features = silu(group_norm(convolved(folded(amplitude), weights, "body.body.1.0"), weights, "body.body.1.1"))
    inner = features
    for norm, convolution in ((0, 2), (3, 5)):
        normal = silu(group_norm(inner, weights, f"body.body.2.body.{norm}"))
        inner = convolved(normal, weights, f"body.body.2.body.{convolution}")
    last = convolved(features + inner, weights, "body.body.3")
    patch = np.log1p(np.exp(unfolded(last[:4]) + np.log(np.e - 1))) * np.exp(1j * unfolded(last[4:]))
    share = light / (light + _DARK * light.max())
    result: Wave = 1 + share * (patch - 1)
    return result
