"""Which groups form which batch, and which part of it is computed by which process.

The batches of a training are a function of its seed and of the optimiser step, whatever the number of processes, each
of which computes some of a batch's groups. Distributed training averages the gradients of the processes. So that the
average is the gradient of the whole batch, the loss of a part is multiplied by (number of processes) × (weight of the
part) / (weight of the batch), where the weight is the number of terms that the loss is a mean over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from ptycho_torch.runtime.ranks import ALONE, Ranks


class Draw(NamedTuple):
    """A group to look up, and what its part of the batch weighs.

    Attributes:
        item: number of the group.
        patch_share: factor of the means over patches; 0 for a group that only fills an empty part.
        pixel_share: factor of the means over good pixels.
        together: number of groups in all parts.
        orientation: how the group is turned, as `physics.orientation` numbers it; None if no group is.
    """

    item: int
    patch_share: float
    pixel_share: float
    together: int
    orientation: int | None = None


class BatchSampler(Sampler[list[Draw]]):
    """Batches of random groups, each at most once in an epoch.

    Args:
        good_pixels: (group,) good detector pixels in each group's patterns.
        draws: groups per epoch.
        batch_size: groups per batch of all processes together.
        ranks: the place of this process; parts differ by one group at most.
        seed: seed of the draw; None for all groups in order.
        orientations: those to draw from; empty to turn nothing.
        position: called at the beginning of an epoch; returns its number, and how many of its batches were taken
            before the training was interrupted.
    """

    def __init__(
        self,
        good_pixels: NDArray[np.int64],
        draws: int,
        batch_size: int,
        ranks: Ranks = ALONE,
        *,
        seed: int | None = None,
        orientations: Sequence[int] = (),
        position: Callable[[], tuple[int, int]] = lambda: (0, 0),
    ) -> None:
        self._pixels, self._draws = good_pixels, min(draws, len(good_pixels))
        self._batch_size, self._ranks, self._seed = batch_size, ranks, seed
        self._position, self._orientations = position, orientations

    def __len__(self) -> int:
        """Batches per epoch, those before an interruption included."""
        return -(-self._draws // self._batch_size)

    def __iter__(self) -> Iterator[list[Draw]]:
        """Draw the parts of this process."""
        epoch, taken = self._position()
        order, turns = np.arange(len(self._pixels)), None
        if self._seed is not None:
            rng = np.random.default_rng((self._seed, epoch))
            order = rng.permutation(order)
            turns = rng.choice(self._orientations, len(order)) if self._orientations else None
        starts = range(0, self._draws, self._batch_size)
        for start in starts[taken:]:
            chosen = slice(start, min(start + self._batch_size, self._draws))
            yield self._take_part(order[chosen], None if turns is None else turns[chosen])

    def _take_part(self, batch: NDArray[np.int64], turns: NDArray[np.int64] | None) -> list[Draw]:
        size = self._ranks.size
        part = batch[self._ranks.rank :: size]
        turned = [None] * len(batch) if turns is None else turns.tolist()
        if not len(part):
            # every process takes part in every step
            return [Draw(int(batch[0]), 0.0, 0.0, len(batch), turned[0])]
        patches = size * len(part) / len(batch)
        pixels = size * float(self._pixels[part].sum() / self._pixels[batch].sum())
        own = zip(part.tolist(), turned[self._ranks.rank :: size], strict=True)
        return [Draw(item, patches, pixels, len(batch), turn) for item, turn in own]
