"""What holds for every network of the registry; a network that is added there is tested without a change here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy_samples import compact_probe

from ptycho_torch.config import Experiment, ModelSettings, TrainingSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.models.archive import open_bundle
from ptycho_torch.models.bundle import build_bundled, save_bundle
from ptycho_torch.models.checkpoint import load_network
from ptycho_torch.networks.build import NETWORKS, Generator, build_network
from ptycho_torch.training.fit import TrainingResult, fit

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {"width": 8, "depth": 2}
SIDE = 32


def built(network: str, side: int = SIDE, seed: int = 0, **changes: Any) -> Generator:
    model = ModelSettings.from_dict({"network": network} | SMALL | changes)
    return build_network(Experiment(model=model, training=TrainingSettings(seed=seed)), side)


def awake(network: str, side: int = SIDE, **changes: Any) -> Generator:
    """A network whose last layers are not zero, as they are before training."""
    generator = built(network, side, **changes)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for weight in generator.parameters():
            if weight.ndim > 1 and not weight.any():
                torch.nn.init.normal_(weight, std=0.05)
    return generator.eval()


def probe_of(side: int, modes: int = 1) -> torch.Tensor:
    return torch.from_numpy(compact_probe(side, modes)).to(torch.complex64)[None]


def patterns_of(side: int, number: int = 3) -> torch.Tensor:
    """Amplitudes whose mean square is 1, brightest in the middle."""
    rng = np.random.default_rng(side)
    light = np.abs(np.fft.fftshift(np.fft.fft2(compact_probe(side)[0]))) * rng.uniform(0.5, 1.5, (number, side, side))
    return torch.from_numpy(light / np.sqrt((light**2).mean((1, 2), keepdims=True))).float()


every_network = pytest.mark.parametrize("network", NETWORKS)


def test_settings_and_registry_name_the_same_networks() -> None:
    assert ModelSettings.find_types()["network"].choices == tuple(NETWORKS)


@every_network
@pytest.mark.parametrize("side", [64, 128, 256])
def test_patterns_of_each_size_become_patches_by_the_default_settings(network: str, side: int) -> None:
    generator = awake(network, side, width=None, depth=3)
    with torch.inference_mode():
        patches = generator(patterns_of(side, 1), probe_of(side))
    assert patches.shape == (1, side, side)
    assert patches.dtype == torch.complex64
    assert torch.isfinite(torch.view_as_real(patches)).all()
    assert patches.std() > 1e-3


@every_network
@pytest.mark.parametrize("seen", ["pattern", "update", "both"])
@pytest.mark.parametrize("stages", [1, 2])
def test_an_untrained_network_gives_vacuum(network: str, seen: str, stages: int) -> None:
    patches = built(network, input=seen, stages=stages)(patterns_of(SIDE), probe_of(SIDE))
    torch.testing.assert_close(patches, torch.ones_like(patches))


@every_network
@pytest.mark.parametrize("field", ["whole", "centre"])
def test_patches_are_vacuum_where_the_probe_is_dark(network: str, field: str) -> None:
    # squares of one pixel would suit any side, also that of the middle half
    patches = awake(network, fold_px=2, field=field)(patterns_of(SIDE), probe_of(SIDE))
    light = probe_of(SIDE)[0, 0].abs().square()
    assert (patches - 1).abs()[:, light < 1e-7 * light.max()].max() < 1e-3
    assert (patches - 1).abs()[:, light > 0.5 * light.max()].max() > 1e-2


@every_network
@pytest.mark.parametrize("modes", [1, 3])
def test_patterns_of_several_probe_modes_become_patches(network: str, modes: int) -> None:
    patterns, probe = patterns_of(SIDE), probe_of(SIDE, modes)
    generator = awake(network, input="update")
    patches = generator(patterns, probe)
    assert patches.shape == patterns.shape
    # modes add as intensities: their order and phases do not matter
    turned = probe.flip(1) * torch.polar(torch.tensor(1.0), torch.tensor(0.7))
    torch.testing.assert_close(generator(patterns, turned), patches, atol=1e-4, rtol=1e-4)


@every_network
@pytest.mark.parametrize("stages", [1, 2])
def test_a_pattern_does_not_know_its_batch(network: str, stages: int) -> None:
    generator, patterns = awake(network, stages=stages), patterns_of(SIDE)
    probes = torch.cat([probe_of(SIDE), probe_of(SIDE).flip(2), probe_of(SIDE).roll(3, 3)])
    together = generator(patterns, probes)
    for number in range(len(patterns)):
        part = slice(number, number + 1)
        torch.testing.assert_close(generator(patterns[part], probes[part]), together[part], atol=1e-5, rtol=1e-4)


@every_network
def test_bad_pixels_do_not_count_as_dark_ones(network: str) -> None:
    generator, patterns, probe = awake(network, input="update", stages=2), patterns_of(SIDE), probe_of(SIDE)
    good = torch.ones(1, SIDE, SIDE)
    good[0, 14:18, 15:19] = 0
    patches = generator(patterns * good, probe, good)
    torch.testing.assert_close(generator(patterns * (2 - good), probe, good), patches)
    assert (generator(patterns * good, probe) - patches).abs().max() > 1e-3


@every_network
@pytest.mark.parametrize("stages", [1, 2])
def test_every_weight_learns(network: str, stages: int) -> None:
    generator = awake(network, stages=stages)
    (generator(patterns_of(SIDE), probe_of(SIDE)) - (0.7 + 0.4j)).abs().square().sum().backward()
    for name, weight in generator.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
        assert weight.grad.any(), name


@every_network
def test_every_pixel_of_a_patch_sees_the_whole_pattern(network: str) -> None:
    patterns = patterns_of(SIDE, 1).requires_grad_()
    patch = awake(network, input="pattern", stages=1)(patterns, torch.ones(1, 1, SIDE, SIDE) + 0j)
    patch[0, 0, 0].abs().backward()
    assert patterns.grad is not None
    assert patterns.grad[0, SIDE // 2 :, SIDE // 2 :].abs().max() > 0


@every_network
def test_the_seed_determines_the_weights(network: str) -> None:
    first, again, other = (built(network, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@every_network
def test_the_width_adds_weights(network: str) -> None:
    narrow, wide = (sum(weight.numel() for weight in built(network, width=width).parameters()) for width in (8, 16))
    assert wide > 1.5 * narrow


@every_network
def test_an_exported_network_gives_the_same(network: str) -> None:
    generator = awake(network)
    shown = patterns_of(SIDE), probe_of(SIDE)
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(generator, shown, dynamic_shapes=({0: batch}, None))
    exported = program.module()
    torch.testing.assert_close(exported(*shown), generator(*shown))
    more = patterns_of(SIDE, 5)
    torch.testing.assert_close(exported(more, shown[1]), generator(more, shown[1]))


@every_network
def test_low_precision_changes_patches_little(network: str) -> None:
    generator, shown = awake(network), (patterns_of(SIDE), probe_of(SIDE))
    with torch.inference_mode():
        wanted = generator(*shown)
        with torch.autocast("cpu", torch.bfloat16):
            found = generator(*shown)
    assert found.dtype == torch.complex64
    assert (found - wanted).abs().mean() < 0.03 * (wanted - 1).abs().max()


def trained(network: str, scan: Scan, folder: Path, resume: Path | None = None, **settings: Any) -> TrainingResult:
    assert scan.probe is not None
    short = {"group_size": 4, "batch_size": 4, "warmup_steps": 0, "learning_rate": 3e-3, "schedule": "constant"}
    model = ModelSettings.from_dict({"network": network} | SMALL)
    experiment = Experiment(model=model, training=TrainingSettings.from_dict(short | settings))
    return fit([scan], [scan.probe], experiment, folder, device=CPU, resume=resume, track=False)


@every_network
def test_a_network_learns_and_comes_back_from_checkpoint_and_bundle(
    network: str, small_scan: Scan, tmp_path: Path
) -> None:
    start = trained(network, small_scan, tmp_path / "start", steps=1, learning_rate=1e-9)
    result = trained(network, small_scan, tmp_path / "run", steps=24)
    assert start.validation_loss is not None
    assert result.validation_loss is not None
    assert result.validation_loss < 0.7 * start.validation_loss
    found = load_network(result.last)
    bundle = save_bundle(found, tmp_path, {})
    again = build_bundled(open_bundle(bundle), bundle)
    shown = patterns_of(SIDE), probe_of(SIDE)
    with torch.inference_mode():
        patches = found.generator(*shown)
        assert torch.equal(again.generator(*shown), patches)
    assert (patches - 1).abs().max() > 1e-2


@every_network
def test_a_resumed_training_goes_on_from_where_it_ended(network: str, small_scan: Scan, tmp_path: Path) -> None:
    slow: dict[str, Any] = {"learning_rate": 1e-3}
    first = trained(network, small_scan, tmp_path / "first", steps=9, **slow)
    second = trained(network, small_scan, tmp_path / "second", resume=first.last, steps=15, **slow)
    afresh = trained(network, small_scan, tmp_path / "afresh", steps=6, **slow)
    assert (first.steps, second.steps) == (9, 15)
    losses = [result.validation_loss or 0 for result in (second, first, afresh)]
    assert losses == sorted(losses)
