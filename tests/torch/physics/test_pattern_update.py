from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy_physics import Real, Wave
from numpy_samples import compact_probe, complex_noise

from ptycho_torch.physics.pattern_update import update_patches
from ptycho_torch.physics.scale import make_network_input

SIDE = 24


def far_field(waves: Wave) -> Wave:
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(waves, axes=(-2, -1)), norm="ortho"), axes=(-2, -1))


def near_field(waves: Wave) -> Wave:
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(waves, axes=(-2, -1)), norm="ortho"), axes=(-2, -1))


def samples(rng: np.random.Generator, number: int) -> Wave:
    return 1 + 0.2 * complex_noise(rng, number, SIDE, SIDE)


def counts_of(patches: Wave, probe: Wave) -> Real:
    return (np.abs(far_field(patches[:, None] * probe)) ** 2).sum(1)


def shown(counts: Real, probe: Wave) -> torch.Tensor:
    return make_network_input(torch.from_numpy(counts).float(), float((np.abs(probe) ** 2).sum()))


def tensor(images: Wave) -> torch.Tensor:
    return torch.from_numpy(images).to(torch.complex64)


@pytest.mark.parametrize("modes", [1, 3])
def test_the_update_agrees_with_its_formula(rng: np.random.Generator, modes: int) -> None:
    probe, truth, start = compact_probe(SIDE, modes, photons=1e4), samples(rng, 2), samples(rng, 2)
    counts, light = counts_of(truth, probe), (np.abs(probe) ** 2).sum(0)
    waves = far_field(start[:, None] * probe)
    floor = 0.01 * light.mean()
    ratio = np.minimum(np.sqrt(counts) / np.sqrt((np.abs(waves) ** 2).sum(1) + floor), 4)
    change = near_field(waves * (ratio - 1)[:, None])
    wanted = (probe.conj() * change).sum(1) / (light + 0.05 * light.max())
    found = update_patches(tensor(start), shown(counts, probe), tensor(probe)[None])
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5)


def test_repeated_updates_explain_a_pattern(rng: np.random.Generator) -> None:
    probe, truth = compact_probe(SIDE, photons=1e6), samples(rng, 1)
    counts = counts_of(truth, probe)
    patch = torch.ones(1, SIDE, SIDE) + 0j
    misfits = []
    for _ in range(30):
        found = np.sqrt(counts_of(patch.numpy(), probe))
        misfits.append(np.square(found - np.sqrt(counts)).sum() / counts.sum())
        patch = patch + update_patches(patch, shown(counts, probe), tensor(probe)[None])
    assert misfits[-1] < 0.05 * misfits[0]


def test_a_patch_that_explains_its_pattern_is_hardly_changed(rng: np.random.Generator) -> None:
    probe, truth = compact_probe(SIDE, photons=1e6), samples(rng, 1)
    amplitude = shown(counts_of(truth, probe), probe)
    still, moved = (
        update_patches(start, amplitude, tensor(probe)[None]).abs().square().sum()
        for start in (tensor(truth), torch.ones(1, SIDE, SIDE) + 0j)
    )
    assert still < 0.1 * moved


def test_units_of_the_probe_do_not_matter(rng: np.random.Generator) -> None:
    probe, start = compact_probe(SIDE, 2, photons=1e4), tensor(samples(rng, 1))
    amplitude = shown(counts_of(samples(rng, 1), probe), probe)
    found = [update_patches(start, amplitude, factor * tensor(probe)[None]) for factor in (1.0, 1e-2)]
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)


def test_bad_pixels_change_nothing(rng: np.random.Generator) -> None:
    probe, start = compact_probe(SIDE, photons=1e4), samples(rng, 2)
    counts = counts_of(samples(rng, 2), probe)
    good = torch.ones(1, SIDE, SIDE)
    good[0, 10:14, 11:15] = 0
    found = [
        update_patches(tensor(start), shown(np.where(good[0] > 0, counts, value), probe), tensor(probe)[None], good)
        for value in (0, 1e3)
    ]
    torch.testing.assert_close(found[0], found[1])
    without = update_patches(tensor(start), shown(np.where(good[0] > 0, counts, 0), probe), tensor(probe)[None])
    assert (without - found[0]).abs().max() > 1e-2
