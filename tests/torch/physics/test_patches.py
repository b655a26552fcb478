from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy_physics import cut, scattered
from numpy_samples import complex_noise

from ptycho_torch.physics.patches import gather, index_patches, scatter

SHAPE = (13, 17)
CORNERS = np.array([[0, 0], [5, 9], [4, 8], [0, 9], [5, 0], [5, 9]])


@pytest.mark.parametrize("wrapped", [False, True])
def test_gather_cuts_the_patches_at_their_corners(rng: np.random.Generator, wrapped: bool) -> None:
    canvas = complex_noise(rng, *SHAPE)
    found = gather(torch.from_numpy(canvas), index_patches(torch.from_numpy(CORNERS), 8, 17, wrapped=wrapped), 8)
    wanted = np.array([cut(canvas, (int(row), int(column)), 8) for row, column in CORNERS])
    np.testing.assert_array_equal(found.numpy(), np.roll(wanted, (-4, -4), (1, 2)) if wrapped else wanted)


def test_scatter_adds_patches_where_they_overlap(rng: np.random.Generator) -> None:
    patches = complex_noise(rng, len(CORNERS), 8, 8)
    found = scatter(torch.from_numpy(patches), index_patches(torch.from_numpy(CORNERS), 8, 17), SHAPE)
    np.testing.assert_allclose(found.numpy(), scattered(patches, CORNERS, SHAPE), atol=1e-13)


@pytest.mark.parametrize("wrapped", [False, True])
def test_scatter_is_the_adjoint_of_gather(rng: np.random.Generator, wrapped: bool) -> None:
    index = index_patches(torch.from_numpy(CORNERS), 8, 17, wrapped=wrapped)
    canvas, patches = (torch.from_numpy(complex_noise(rng, *shape)) for shape in (SHAPE, (len(CORNERS), 8, 8)))
    there = torch.vdot(gather(canvas, index, 8).flatten(), patches.flatten())
    back = torch.vdot(canvas.flatten(), scatter(patches, index, SHAPE).flatten())
    torch.testing.assert_close(there, back)


def test_gradients_pass_through_gather_and_scatter(rng: np.random.Generator) -> None:
    index = index_patches(torch.from_numpy(CORNERS), 8, 17)
    canvas = torch.from_numpy(complex_noise(rng, *SHAPE)).requires_grad_()
    patches = torch.from_numpy(complex_noise(rng, len(CORNERS), 8, 8)).requires_grad_()
    assert torch.autograd.gradcheck(lambda image: gather(image, index, 8), canvas)
    assert torch.autograd.gradcheck(lambda parts: scatter(parts, index, SHAPE), patches)


def test_real_images_stay_real(rng: np.random.Generator) -> None:
    index = index_patches(torch.from_numpy(CORNERS), 8, 17)
    ones = scatter(torch.ones(len(CORNERS), 8, 8), index, SHAPE)
    assert ones.dtype == torch.float32
    assert ones.sum() == len(CORNERS) * 64
