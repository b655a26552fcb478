"""Arrays in several parts, such as the chunks of one file or the frames of several, as one array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.data.recording import LazyArray
from ptycho_torch.errors import ScanFileError


class JoinedArray:
    """Arrays of the same pattern size, one after the other along their first axis; read where they are indexed."""

    def __init__(self, parts: Sequence[LazyArray]) -> None:
        self._parts = parts
        lengths = [part.shape[0] for part in parts]
        self._starts = np.concatenate([[0], np.cumsum(lengths)])
        self.shape = (int(self._starts[-1]), *parts[0].shape[1:])
        self.dtype = np.result_type(*(part.dtype for part in parts))

    def __getitem__(self, index: slice) -> NDArray[Any]:
        """Read consecutive patterns; the index is a slice with step 1."""
        start, stop, _ = index.indices(self.shape[0])
        found = [
            np.asarray(part[max(start - first, 0) : stop - first])
            for first, part in zip(self._starts[:-1].tolist(), self._parts, strict=True)
            if start < first + part.shape[0] and stop > first
        ]
        return np.concatenate(found).astype(self.dtype, copy=False) if found else np.empty((0, *self.shape[1:]))


def join_stacks(parts: Sequence[LazyArray], path: Path) -> LazyArray:
    """Join arrays (pattern, row, column) of the file at a path along their first axis.

    Raises:
        ScanFileError: they differ in size, or are not three-dimensional.
    """
    if len(parts) == 1:
        return parts[0]
    shapes = sorted({tuple(part.shape[1:]) for part in parts})
    if len(shapes) > 1 or len(parts[0].shape) != 3:
        listed = ", ".join(map(str, shapes))
        raise ScanFileError(f"{path}: parts of the patterns have shapes {listed}; they must be equal")
    return JoinedArray(parts)
