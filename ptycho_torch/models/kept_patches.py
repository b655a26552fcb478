"""Predicted patches that are used twice: to find their phases, and to merge them."""

from __future__ import annotations

import shutil

import numpy as np
import torch
from torch import Tensor

from ptycho_torch.storage.rows import TemporaryFolder

# in memory, and in a temporary file as long as it takes no more than a part of the free space
_MOST_HELD_BYTES = 2**25
_MOST_STORED_BYTES = 2**33
_SHARE_OF_DISK = 0.25


class KeptPatches:
    """Batches of patches by number: the first ones in memory, later ones in a temporary file, the last ones forgotten.

    The file ends with this object.

    Args:
        device: of the patches.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._held: dict[int, Tensor] = {}
        self._held_bytes = self._end = 0
        # first byte in the file, and shape
        self._stored: dict[int, tuple[int, torch.Size]] = {}
        self._folder = TemporaryFolder()
        free = shutil.disk_usage(self._folder.path).free
        self._most = min(_MOST_STORED_BYTES, int(_SHARE_OF_DISK * free))

    def put(self, number: int, patches: Tensor) -> None:
        """Keep a batch (pattern, h, w) complex64, if there is space."""
        if self._held_bytes + patches.nbytes <= _MOST_HELD_BYTES:
            self._held[number] = patches
            self._held_bytes += patches.nbytes
        elif self._end + patches.nbytes <= self._most:
            with (self._folder.path / "patches").open("ab") as file:
                file.write(patches.cpu().contiguous().numpy().data)
            self._stored[number] = self._end, patches.shape
            self._end += patches.nbytes

    def find(self, number: int) -> Tensor | None:
        """Find a batch; None if it was not kept."""
        if number not in self._stored:
            return self._held.get(number)
        offset, shape = self._stored[number]
        values = np.fromfile(self._folder.path / "patches", np.complex64, shape.numel(), offset=offset)
        return torch.from_numpy(values).view(shape).to(self._device)
