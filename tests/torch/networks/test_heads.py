from __future__ import annotations

import math

import pytest
import torch

from ptycho_torch.networks.heads import AMPLITUDES, PHASES, AmplitudePhase, RealImaginary

WIDE = torch.linspace(-9, 9, 64).reshape(1, 1, 8, 8)


@pytest.mark.parametrize("amplitude", AMPLITUDES)
@pytest.mark.parametrize("phase", PHASES)
def test_zero_is_vacuum(amplitude: str, phase: str) -> None:
    torch.testing.assert_close(AmplitudePhase(amplitude, phase)(torch.zeros(1, 2, 4, 4)), torch.ones(1, 4, 4) + 0j)


@pytest.mark.parametrize(
    ("amplitude", "lowest", "highest"), [("softplus", 0, math.inf), ("sigmoid", 0, 2), ("silu", -0.279, math.inf)]
)
def test_amplitudes_stay_in_their_range_and_rise(amplitude: str, lowest: float, highest: float) -> None:
    found = AmplitudePhase(amplitude, "linear")(torch.cat([WIDE, torch.zeros_like(WIDE)], dim=1)).real.flatten()
    assert found.min() >= lowest
    assert found.max() <= highest
    assert (found.diff() > 0)[32:].all()
    assert found[-1] > 1.9


@pytest.mark.parametrize(("phase", "reach"), [("linear", 9.0), ("pi_tanh", math.pi)])
def test_phases_turn_by_what_they_say(phase: str, reach: float) -> None:
    channels = torch.cat([torch.zeros_like(WIDE), WIDE], dim=1)
    found = AmplitudePhase("softplus", phase)(channels)
    torch.testing.assert_close(found.abs(), torch.ones(1, 8, 8))
    turned = PHASES[phase](WIDE[:, 0])
    assert turned.abs().max() <= reach
    torch.testing.assert_close(found, torch.polar(torch.ones_like(turned), turned))
    # small values are phases in radians whatever the activation
    assert PHASES[phase](torch.tensor(0.01)).item() == pytest.approx(0.01, rel=1e-4)


def test_real_and_imaginary_channels() -> None:
    channels = torch.randn(3, 2, 4, 4)
    found = RealImaginary()(channels)
    torch.testing.assert_close(found.real, 1 + channels[:, 0])
    torch.testing.assert_close(found.imag, channels[:, 1])


@pytest.mark.parametrize(
    "head", [AmplitudePhase("softplus", "linear"), AmplitudePhase("sigmoid", "pi_tanh"), RealImaginary()]
)
def test_both_channels_learn_from_vacuum(head: torch.nn.Module) -> None:
    channels = torch.zeros(1, 2, 4, 4, requires_grad=True)
    torch.view_as_real(head(channels) - (0.5 + 0.5j)).square().sum().backward()
    assert channels.grad is not None
    assert (channels.grad.abs() > 1e-3).all()
