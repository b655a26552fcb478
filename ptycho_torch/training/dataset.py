"""Groups of patterns as the network's training examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from torch.utils.dlpack import from_dlpack

from ptycho_torch.data.canvas import Frame
from ptycho_torch.data.scan import Scan


class Batch(NamedTuple):
    """Groups of patterns; without the leading axis it is one group.

    Attributes:
        counts: (group, pattern, h, w) photons.
        corners_px: (group, pattern, 2) whole-pixel place of each patch, least row and column 0 in each group.
        shifts_px: (group, pattern, 2) sub-pixel part of the positions.
        scan_index: (group,) which scan the group is from.
        labels: (group, pattern, h, w) the true object under each pattern; empty where it is not learnt from.
    """

    counts: Tensor
    corners_px: Tensor
    shifts_px: Tensor
    scan_index: Tensor
    labels: Tensor = torch.zeros(0)


class GroupDataset(Dataset[Batch]):
    """Groups of one or several scans; patterns are looked up, never copied.

    Args:
        scans: the scans, all with patterns of one size.
        groups: for each scan (group, size) pattern indices, all of one size.
        labelled: show the true object under each pattern too.

    Raises:
        DataError: labels are asked for, and a scan has no object to learn from.
    """

    def __init__(self, scans: Sequence[Scan], groups: Sequence[NDArray[np.int64]], *, labelled: bool = False) -> None:
        self._counts = [from_dlpack(scan.counts) for scan in scans]
        frames = [Frame(scan.positions_px, scan.patch_px) for scan in scans]
        self._corners = [torch.from_numpy(frame.corners_px) for frame in frames]
        self._shifts = [torch.from_numpy(frame.shifts_px) for frame in frames]
        self._pieces = [
            _pieces(scan.require_object().cut_window(frame.origin_px, frame.shape_px), scan.patch_px)
            for scan, frame in zip(scans, frames, strict=True)
            if labelled
        ]
        self._groups = [torch.from_numpy(table) for table in groups]
        self._ends = np.cumsum([len(table) for table in groups])

    def __len__(self) -> int:
        """Number of groups."""
        return int(self._ends[-1])

    def __getitem__(self, item: int) -> Batch:
        """One group."""
        if not 0 <= item < len(self):
            raise IndexError(item)
        number = int(np.searchsorted(self._ends, item, side="right"))
        patterns = self._groups[number][item - (self._ends[number - 1] if number else 0)]
        corners = self._corners[number][patterns]
        batch = Batch(
            counts=self._counts[number][patterns],
            corners_px=corners - corners.amin(dim=0),
            shifts_px=self._shifts[number][patterns],
            scan_index=torch.tensor(number),
        )
        if not self._pieces:
            return batch
        return batch._replace(labels=self._pieces[number][corners[:, 0], corners[:, 1]])


def _pieces(pixels: NDArray[np.complex64], side: int) -> Tensor:
    """(row, column, h, w) view of every square of an image by its first pixel."""
    return torch.from_numpy(pixels).unfold(0, side, 1).unfold(1, side, 1)
