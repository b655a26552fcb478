"""Heads: two real channels to a complex object patch. Zero gives vacuum, O = 1."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torch.nn import functional

Activation = Callable[[Tensor], Tensor]

# each is 1 at 0; silu(1.2785) = 1
AMPLITUDES: dict[str, Activation] = {
    "softplus": lambda value: functional.softplus(value + math.log(math.e - 1)),
    "sigmoid": lambda value: 2 * torch.sigmoid(value),
    "silu": lambda value: functional.silu(value + 1.27846454),
}
PHASES: dict[str, Activation] = {
    "linear": lambda value: value,
    "pi_tanh": lambda value: math.pi * torch.tanh(value / math.pi),
}


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
        """Combine amplitude (first channel) and phase (second)."""
        amplitude, phase = self._amplitude(channels[:, 0]), self._phase(channels[:, 1])
        return torch.complex(amplitude * phase.cos(), amplitude * phase.sin())


class RealImaginary(nn.Module):
    """O = 1 + x + iy, which has no preferred phase."""

    def forward(self, channels: Float[Tensor, "pattern 2 h w"]) -> Complex[Tensor, "pattern h w"]:
        """Combine real part (first channel) and imaginary part (second)."""
        return torch.complex(1 + channels[:, 0], channels[:, 1])
