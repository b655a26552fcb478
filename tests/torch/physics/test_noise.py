from __future__ import annotations

import torch

from ptycho_torch.physics.noise import draw_counts


def test_counts_are_whole_with_the_mean_and_variance_of_the_poisson_law() -> None:
    means = torch.tensor([0.0, 0.3, 4.0, 900.0]).expand(20000, 4)
    drawn = draw_counts(means, torch.Generator().manual_seed(1))
    assert (drawn == drawn.round()).all()
    assert (drawn[:, 0] == 0).all()
    torch.testing.assert_close(drawn.mean(0), means[0], rtol=0.03, atol=0)
    torch.testing.assert_close(drawn.var(0), means[0], rtol=0.05, atol=0)


def test_the_generator_decides_the_noise() -> None:
    means = torch.full((50,), 10.0)
    first, again, other = (draw_counts(means, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
