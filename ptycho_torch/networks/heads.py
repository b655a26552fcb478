"""Heads: two real channels to a complex object patch. Zero input gives empty space, O = 1."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torch.nn import functional

Activation = Callable[[Tensor], Tensor]


def _softplus(value: Tensor) -> Tensor:
    return functional.softplus(value + math.log(math.e - 1))


def _sigmoid(value: Tensor) -> Tensor:
    return 2 * torch.sigmoid(value)


def _silu(value: Tensor) -> Tensor:
    # silu(1.2785) = 1
    return functional.silu(value + 1.27846454)


def _pi_tanh(value: Tensor) -> Tensor:
    return math.pi * torch.tanh(value / math.pi)


AMPLITUDES: dict[str, Activation] = {"softplus": _softplus, "sigmoid": _sigmoid, "silu": _silu}
PHASES: dict[str, Activation] = {"linear": lambda value: value, "pi_tanh": _pi_tanh}


class AmplitudePhase(nn.Module):
    """O = a·exp(iφ).

    Args:
        amplitude: 'softplus' (positive), 'sigmoid' (0 to 2) or 'silu' (may go slightly negative).
        phase: 'linear' (unbounded) or 'pi_tanh' (−π to π).
    """

    def __init__(self, amplitude: str, phase: str) -> None:
        super().__init__()
        self._amplitude = AMPLITUDES[amplitude]
        self._phase = PHASES[phase]

    def forward(self, channels: Float[Tensor, "pattern 2 h w"]) -> Complex[Tensor, "pattern h w"]:
        """First channel amplitude, second phase."""
        amplitude, phase = self._amplitude(channels[:, 0]), self._phase(channels[:, 1])
        return torch.complex(amplitude * phase.cos(), amplitude * phase.sin())


class RealImaginary(nn.Module):
    """O = 1 + x + iy, which has no preferred phase."""

    def forward(self, channels: Float[Tensor, "pattern 2 h w"]) -> Complex[Tensor, "pattern h w"]:
        """First channel real, second imaginary."""
        return torch.complex(1 + channels[:, 0], channels[:, 1])
