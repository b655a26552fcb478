"""Groups of patterns as the network's training examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from ptycho_torch.data.canvas import Frame
from ptycho_torch.data.scan import Scan
from ptycho_torch.physics.orientation import orient, orient_places
from ptycho_torch.training.batches import Draw


class Batch(NamedTuple):
    """Groups of patterns, those of this process in a batch; without the leading axis, one group.

    Attributes:
        counts: (group, pattern, h, w) photons.
        corners_px: (group, pattern, 2) first pixel of each patch, counted from the least row and column in its group.
        shifts_px: (group, pattern, 2) sub-pixel part of the positions.
        scan_index: (group,) number of the group's scan.
        labels: (group, pattern, h, w) the true object under each pattern, or a teacher's; empty unless it is a target.
        patch_share: (group,) factor of this process's means over patches, the same for all groups; empty if it is 1.
        pixel_share: (group,) likewise for means over good pixels.
        together: (group,) number of groups of all processes; empty if they are these.
        orientation: (group,) how each group is turned, as `physics.orientation` numbers it, and with it the probe;
            empty if none is.
        fluorescence: (group, pattern, channel) values of a second detector; empty unless all scans have as many
            channels.
    """

    counts: Tensor
    corners_px: Tensor
    shifts_px: Tensor
    scan_index: Tensor
    labels: Tensor = torch.zeros(0)
    patch_share: Tensor = torch.zeros(0)
    pixel_share: Tensor = torch.zeros(0)
    together: Tensor = torch.zeros(0)
    orientation: Tensor = torch.zeros(0)
    fluorescence: Tensor = torch.zeros(0)

    def turn(self, images: Tensor) -> Tensor:
        """Turn images that belong to the patterns, (group · pattern, ..., h, w), as their groups are turned."""
        if not self.orientation.numel():
            return images
        each = self.orientation.repeat_interleave(len(images) // len(self.orientation))
        return orient(images, each.reshape(-1, *[1] * (images.ndim - 3)))

    @property
    def groups_together(self) -> int:
        """Number of groups in the parts of all processes."""
        return int(self.together[0]) if len(self.together) else len(self.counts)


class GroupDataset(Dataset[Batch]):
    """Groups of one or several scans; the patterns of a group are read when it is looked up.

    Args:
        scans: scans with patterns of one size.
        groups: for each scan (group, size) pattern indices, all of one size.
        labelled: whether to add the true object under each pattern.

    Attributes:
        tables: the groups.

    Raises:
        DataError: `labelled`, and a scan has no true object.
    """

    def __init__(self, scans: Sequence[Scan], groups: Sequence[NDArray[np.int64]], *, labelled: bool = False) -> None:
        self._counts = [scan.counts for scan in scans]
        frames = [Frame(scan.positions_px, scan.patch_px) for scan in scans]
        self._corners = [torch.from_numpy(frame.corners_px) for frame in frames]
        self._shifts = [torch.from_numpy(frame.shifts_px) for frame in frames]
        self._labels = [
            _view_patches(scan.require_object().cut_window(frame.origin_px, frame.shape_px), scan.patch_px)
            for scan, frame in zip(scans, frames, strict=True)
            if labelled
        ]
        values = [scan.fluorescence for scan in scans]
        channels = {None if each is None else each.shape[1] for each in values}
        self._fluorescence = [torch.from_numpy(np.array(each)) for each in values if len(channels - {None}) == 1]
        self.tables = groups
        self._groups = [torch.from_numpy(table) for table in groups]
        self._ends = np.cumsum([len(table) for table in groups])

    def __len__(self) -> int:
        """Number of groups."""
        return int(self._ends[-1])

    def __getitem__(self, draw: int | Draw) -> Batch:
        """Look up one group."""
        item = draw.item if isinstance(draw, Draw) else draw
        if not 0 <= item < len(self):
            raise IndexError(item)
        number = int(np.searchsorted(self._ends, item, side="right"))
        patterns = self._groups[number][item - (self._ends[number - 1] if number else 0)]
        corners = self._corners[number][patterns]
        batch = Batch(
            counts=torch.from_numpy(self._counts[number][patterns.numpy()]),
            corners_px=corners - corners.amin(dim=0),
            shifts_px=self._shifts[number][patterns],
            scan_index=torch.tensor(number),
        )
        if isinstance(draw, Draw):
            batch = batch._replace(
                patch_share=torch.tensor(draw.patch_share),
                pixel_share=torch.tensor(draw.pixel_share),
                together=torch.tensor(draw.together),
            )
        if self._labels:
            batch = batch._replace(labels=self._labels[number][corners[:, 0], corners[:, 1]])
        if self._fluorescence:
            batch = batch._replace(fluorescence=self._fluorescence[number][patterns])
        orientation = draw.orientation if isinstance(draw, Draw) else None
        return batch if orientation is None else _turn_group(batch, orientation)


def _turn_group(group: Batch, orientation: int) -> Batch:
    """Turn patterns, positions and labels of a group."""
    chosen = torch.tensor(orientation)
    corners = orient_places(group.corners_px, chosen)
    return group._replace(
        counts=orient(group.counts, chosen),
        corners_px=corners - corners.amin(dim=0),
        shifts_px=orient_places(group.shifts_px, chosen),
        labels=orient(group.labels, chosen) if group.labels.numel() else group.labels,
        orientation=chosen,
    )


def collate(groups: Sequence[Batch]) -> Batch:
    """Put groups of any scans together to a batch."""
    stacked: Batch = default_collate(list(groups))
    return stacked


def stack_groups(groups: Sequence[Batch]) -> Batch:
    """Stack groups that were looked up by their numbers into one batch of one process."""
    return collate(groups)._replace(patch_share=torch.zeros(0), pixel_share=torch.zeros(0), together=torch.zeros(0))


def _view_patches(pixels: NDArray[np.complex64], side: int) -> Tensor:
    """View every square of an image by its first pixel, (row, column, h, w)."""
    return torch.from_numpy(pixels).unfold(0, side, 1).unfold(1, side, 1)
