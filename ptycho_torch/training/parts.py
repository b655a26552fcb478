"""Batches in parts: the gradient of a batch that does not fit into memory as a whole, computed part by part."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ptycho_torch.training.dataset import Batch

# what torch and its libraries say when the processor's memory is exhausted; a GPU has an error of its own
_EXHAUSTED = ("DefaultCPUAllocator", "std::bad_alloc", "could not create a", "out of memory")


def is_exhausted(error: BaseException) -> bool:
    """Whether an error says that memory is exhausted, that of a GPU or that of the processor."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _EXHAUSTED)


def split_batch(batch: Batch, parts: int, pixels: Tensor) -> list[Batch]:
    """Divide a batch so that the sum of the losses of its parts is its loss.

    Args:
        batch: groups of patterns.
        parts: their number, at most; a part holds at least one group.
        pixels: (group,) good detector pixels in the patterns of each group.
    """
    groups = len(batch.counts)
    numbers = torch.arange(groups, device=batch.counts.device).tensor_split(min(parts, groups))
    return [_take(batch, part, len(part) / groups, pixels[part].sum() / pixels.sum()) for part in numbers]


def _take(batch: Batch, numbers: Tensor, patch_share: float, pixel_share: Tensor) -> Batch:
    whole = batch.counts.new_ones(len(numbers))
    taken = Batch(*(part[numbers] if len(part) else part for part in batch))
    patches, pixels = (shares if len(shares) else whole for shares in (taken.patch_share, taken.pixel_share))
    return taken._replace(patch_share=patches * patch_share, pixel_share=pixels * pixel_share)


def sum_parts(compute_loss: Callable[[Batch], Tensor], parts: list[Batch]) -> Tensor:
    """The loss of a batch in parts, each of which is computed again for its gradient, so that only one is in memory."""
    return torch.stack([checkpoint(compute_loss, part, use_reentrant=False) for part in parts]).sum()
