from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy_physics import merged
from numpy_samples import LOPSIDED, compact_probe, complex_noise

from ptycho_torch.physics.merge import finish_merge, merge
from ptycho_torch.physics.patches import gather, index_patches, scatter

SHAPE = (20, 24)
CORNERS = np.array([[0, 0], [3, 5], [4, 4], [8, 12], [2, 3]])
INDEX = index_patches(torch.from_numpy(CORNERS), 12, 24)


@pytest.mark.parametrize("lights", [1, len(CORNERS)])
@pytest.mark.parametrize(("real", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_every_pixel_is_the_mean_weighted_by_light(
    rng: np.random.Generator, lights: int, real: torch.dtype, tolerance: float
) -> None:
    patches, light = complex_noise(rng, len(CORNERS), 12, 12), rng.exponential(size=(lights, 12, 12)) ** 3
    wanted = merged(patches, np.broadcast_to(light, patches.shape), CORNERS, SHAPE)
    found = merge(torch.from_numpy(patches).to(real.to_complex()), torch.from_numpy(light).to(real), INDEX, SHAPE)
    np.testing.assert_allclose(found.numpy(), wanted, atol=tolerance)


def test_true_patches_give_the_true_object_back_where_there_was_light() -> None:
    truth = torch.from_numpy(LOPSIDED.pixels(*SHAPE))
    light = torch.from_numpy(np.abs(compact_probe(12, width=2.5)) ** 2)
    found = merge(gather(truth, INDEX, 12), light, INDEX, SHAPE)
    total = scatter(light.expand(len(CORNERS), -1, -1), INDEX, SHAPE)
    assert (found - truth).abs()[total > 0.5 * light.max()].max() < 2e-3
    assert (found - 1).abs()[total == 0].max() == 0


def test_patches_far_away_change_nothing(rng: np.random.Generator) -> None:
    patches = torch.from_numpy(complex_noise(rng, 2, 12, 12))
    light = torch.from_numpy(rng.exponential(size=(1, 12, 12)))
    index = index_patches(torch.tensor([[0, 0], [0, 12]]), 12, 24)
    together = merge(patches, light, index, (12, 24))
    alone = merge(patches[:1], light, index_patches(torch.tensor([[0, 0]]), 12, 12), (12, 12))
    torch.testing.assert_close(together[:, :12], alone)


def test_the_unit_of_light_does_not_matter(rng: np.random.Generator) -> None:
    patches = torch.from_numpy(complex_noise(rng, len(CORNERS), 12, 12))
    light = torch.from_numpy(rng.exponential(size=(1, 12, 12)))
    torch.testing.assert_close(merge(patches, 1e6 * light, INDEX, SHAPE), merge(patches, light, INDEX, SHAPE))


def test_the_periphery_never_exceeds_its_patches(rng: np.random.Generator) -> None:
    patches = torch.from_numpy(complex_noise(rng, len(CORNERS), 12, 12))
    light = torch.from_numpy(np.abs(compact_probe(12, width=1.2)) ** 2)
    found = merge(patches, light, INDEX, SHAPE)
    assert found.abs().max() <= max(1.0, patches.abs().max().item()) + 1e-9


def test_sums_collected_in_parts_merge_to_the_same(rng: np.random.Generator) -> None:
    patches = torch.from_numpy(complex_noise(rng, len(CORNERS), 12, 12))
    light = torch.from_numpy(rng.exponential(size=(1, 12, 12)))
    weighted, total = torch.zeros(SHAPE, dtype=torch.complex128), torch.zeros(SHAPE, dtype=torch.float64)
    for number in range(len(CORNERS)):
        index = index_patches(torch.from_numpy(CORNERS[number : number + 1]), 12, 24)
        weighted += scatter(patches[number : number + 1] * light, index, SHAPE)
        total += scatter(light, index, SHAPE)
    torch.testing.assert_close(finish_merge(weighted, total, light), merge(patches, light, INDEX, SHAPE))


def test_gradients_are_exact(rng: np.random.Generator) -> None:
    index = index_patches(torch.tensor([[0, 0], [1, 2]]), 4, 6)
    patches = torch.from_numpy(complex_noise(rng, 2, 4, 4)).requires_grad_()
    light = torch.from_numpy(rng.exponential(size=(2, 4, 4)))
    assert torch.autograd.gradcheck(lambda given: merge(given, light, index, (5, 6)), patches)
