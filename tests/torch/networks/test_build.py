from __future__ import annotations

from typing import Any

import pytest
import torch
from numpy_samples import compact_probe

from ptycho_torch.config import Experiment, ModelSettings
from ptycho_torch.errors import ConfigError
from ptycho_torch.networks.build import Generator, build_network

PROBE = torch.from_numpy(compact_probe(32)).to(torch.complex64)
LIGHT = PROBE.abs().square()


def built(patch_px: int = 32, **changes: Any) -> Generator:
    return build_network(Experiment(model=ModelSettings(**({"width": 8, "depth": 2} | changes))), patch_px)


def awake(**changes: Any) -> Generator:
    """A generator whose patches differ from vacuum."""
    torch.manual_seed(0)
    generator = built(**changes)
    for weight in generator.parameters():
        if weight.ndim > 1 and not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return generator


CHOICES = [
    {name: choice}
    for name, kind in ModelSettings.find_types().items()
    for choice in kind.choices
    if name != "attention_kernel_px"
]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_every_choice_starts_from_vacuum(choice: dict[str, Any]) -> None:
    patches = built(**choice)(torch.rand(3, 32, 32), PROBE[None])
    assert patches.shape == (3, 32, 32)
    torch.testing.assert_close(patches, torch.ones_like(patches))


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_dark_parts_of_a_patch_stay_vacuum(choice: dict[str, Any]) -> None:
    patches = awake(**choice)(torch.rand(3, 32, 32), PROBE[None])
    dark, bright = LIGHT[0] < 1e-7 * LIGHT.max(), LIGHT[0] > 0.5 * LIGHT.max()
    assert (patches - 1).abs()[:, dark].max() < 1e-3
    assert (patches - 1).abs()[:, bright].max() > 1e-2


@pytest.mark.parametrize("seen", ["pattern", "update", "both"])
def test_the_unit_of_light_does_not_matter(seen: str) -> None:
    generator, amplitude = awake(input=seen), torch.rand(2, 32, 32)
    torch.testing.assert_close(generator(amplitude, 1e3 * PROBE[None]), generator(amplitude, PROBE[None]))


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_a_pattern_does_not_know_its_batch(choice: dict[str, Any]) -> None:
    generator, amplitude = awake(**choice).eval(), torch.rand(3, 32, 32)
    probes = torch.stack([PROBE, PROBE.flip(1), PROBE.roll(5, 2)])
    together = generator(amplitude, probes)
    for number in range(3):
        part = slice(number, number + 1)
        torch.testing.assert_close(generator(amplitude[part], probes[part]), together[part], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("side", [16, 18, 32])
def test_the_rim_of_a_centred_field_is_vacuum(side: int) -> None:
    probe = torch.ones(1, 1, side, side) + 0j
    patches = awake(field="centre", patch_px=side, depth=1)(torch.rand(2, side, side), probe)
    inside = torch.zeros(side, side, dtype=torch.bool)
    inside[side // 4 : side - side // 4, side // 4 : side - side // 4] = True
    torch.testing.assert_close(patches[:, ~inside], torch.ones_like(patches[:, ~inside]), rtol=0, atol=0)
    assert ((patches - 1).abs()[:, inside] > 1e-6).float().mean() > 0.99


@pytest.mark.parametrize(("patch_px", "depth"), [(24, 4), (32, 4), (36, 3), (16, 3)])
def test_a_depth_that_the_patterns_do_not_allow_is_refused(patch_px: int, depth: int) -> None:
    with pytest.raises(ConfigError, match=rf"ModelSettings\.depth is {depth}; patterns of {patch_px} px"):
        built(patch_px=patch_px, depth=depth)


@pytest.mark.parametrize(("patch_px", "depth"), [(16, 2), (24, 2), (64, 4), (20, 2)])
def test_a_depth_that_the_patterns_allow_works(patch_px: int, depth: int) -> None:
    patterns, probe = torch.rand(1, patch_px, patch_px), torch.ones(1, 1, patch_px, patch_px) + 0j
    assert built(patch_px=patch_px, depth=depth, width=4)(patterns, probe).shape == patterns.shape
