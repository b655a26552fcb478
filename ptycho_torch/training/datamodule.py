"""Scans to batches for training and validation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from ptycho_torch.config import TrainingSettings
from ptycho_torch.data.grouping import GroupRule, group_nearest, make_groups
from ptycho_torch.data.scan import Scan
from ptycho_torch.runtime.ranks import ALONE, Ranks
from ptycho_torch.storage.writing import write_atomically
from ptycho_torch.training.batches import BatchSampler
from ptycho_torch.training.dataset import Batch, GroupDataset, collate

_log = logging.getLogger(__name__)

_ORIENTATIONS: dict[str, Sequence[int]] = {"none": (), "flips": range(4), "all": range(8)}


@dataclass(frozen=True, eq=False)
class GroupSplit:
    """Groups for training and for validation.

    Attributes:
        training: (group, size) pattern indices.
        validation: likewise; none of their patterns is in a training group, unless `shared`.
        shared: whether the scan was too small to reserve patterns.
    """

    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    shared: bool


def split_groups(positions_px: NDArray[np.float64], rule: GroupRule, validation_share: float, seed: int) -> GroupSplit:
    """Reserve compact groups for validation and group the other patterns by the rule.

    Groups shrink to the size of a smaller scan. There is always at least one validation group, since the best
    checkpoint is chosen by it.
    """
    patterns = len(positions_px)
    size = min(rule.size, patterns)
    compact = group_nearest(positions_px, size)
    rng = np.random.default_rng(seed)
    reserved = max(1, round(validation_share * patterns / size))
    validation = compact[rng.permutation(patterns)[:reserved]]
    rest = np.setdiff1d(np.arange(patterns), validation)
    if validation_share == 0 or len(rest) < 2 * size or len(rest) < patterns / 2:
        return GroupSplit(make_groups(positions_px, rule, seed), validation, shared=True)
    return GroupSplit(rest[make_groups(positions_px[rest], rule, seed)], validation, shared=False)


class ScanDataModule(lightning.LightningDataModule):
    """Groups of one or several scans, split, shuffled and batched.

    Attributes:
        scans: the scans.
        settings: the settings.
        splits: the groups of each scan.
        training: the groups to train on.
        validation: the others.
        group_size: patterns of a group, fewer than asked for if a scan has no more.
        groups_per_epoch: training groups that are drawn in an epoch.

    Args:
        scans: scans with patterns of one size.
        settings: size of groups and batches, share for validation, seed, target.
        workers: processes that prepare batches; 0 for none beside the training itself.
        ranks: the place of this process; each computes a part of every batch.

    Raises:
        DataError: the target is the true object, and a scan has none.
    """

    def __init__(
        self, scans: Sequence[Scan], settings: TrainingSettings, workers: int = 0, ranks: Ranks = ALONE
    ) -> None:
        super().__init__()
        self.scans = tuple(scans)
        self.settings, self._workers, self._ranks = settings, workers, ranks
        size = min(settings.group_size, *(len(scan) for scan in scans))
        rule = GroupRule(
            size=size,
            choice=settings.neighbour_choice,
            neighbours=settings.neighbours,
            least_px=settings.least_distance_px,
            most_px=settings.greatest_distance_px,
            by_axis=settings.by_axis,
            draws=settings.groups_per_pattern,
        )
        self.splits = [
            split_groups(scan.positions_px, rule, settings.validation_share, settings.seed + number)
            for number, scan in enumerate(scans)
        ]
        labelled = settings.target == "object"
        self.training = GroupDataset(scans, [split.training for split in self.splits], labelled=labelled)
        self.validation = GroupDataset(scans, [split.validation for split in self.splits], labelled=labelled)
        self.group_size = size
        once = max(1, round(len(self.training) / settings.groups_per_pattern / size))
        self.groups_per_epoch = min(settings.groups_per_epoch or once, len(self.training))

    def warn_small(self) -> None:
        """Log a warning of what the scans are too small for."""
        wanted = self.settings.group_size
        if self.group_size < wanted:
            _log.warning("groups shrink from %d to %d patterns, those of the smallest scan", wanted, self.group_size)
        for scan, split in zip(self.scans, self.splits, strict=True):
            if split.shared and self.settings.validation_share:
                _log.warning("%s is too small to reserve patterns: validation uses training patterns too", scan.name)

    @property
    def batches_per_epoch(self) -> int:
        """Training batches per epoch."""
        return -(-self.groups_per_epoch // self.batch_size)

    @property
    def batch_size(self) -> int:
        """Groups per batch."""
        return self.settings.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps per epoch; the last one may take fewer batches than the others."""
        return -(-self.batches_per_epoch // self.settings.accumulate)

    @property
    def main_steps(self) -> int:
        """Optimiser steps before fine-tuning."""
        return self.settings.steps or self.settings.epochs * self.steps_per_epoch

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole training."""
        return self.main_steps + self.settings.fine_tune_epochs * self.steps_per_epoch

    def train_dataloader(self) -> DataLoader[Batch]:
        """Load random groups without repetition, in an order that differs from epoch to epoch."""
        sampler = BatchSampler(
            self._count_good_pixels(self.training),
            self.groups_per_epoch,
            self.batch_size,
            self._ranks,
            seed=self.settings.seed,
            orientations=_ORIENTATIONS[self.settings.augment],
            position=self._find_position,
        )
        return self._load(self.training, sampler)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Load all validation groups in order."""
        pixels = self._count_good_pixels(self.validation)
        return self._load(self.validation, BatchSampler(pixels, len(pixels), self.batch_size, self._ranks))

    def _find_position(self) -> tuple[int, int]:
        """The epoch of the next step and how many of its batches the steps before it took."""
        epoch, steps = divmod(self.trainer.global_step if self.trainer else 0, self.steps_per_epoch)
        return epoch, steps * self.settings.accumulate

    def _count_good_pixels(self, groups: GroupDataset) -> NDArray[np.int64]:
        good = [scan.good_pixels.sum() for scan in self.scans]
        return np.repeat(good, [len(table) for table in groups.tables])

    def _load(self, groups: GroupDataset, sampler: BatchSampler) -> DataLoader[Batch]:
        return DataLoader(
            groups,
            batch_sampler=sampler,
            num_workers=self._workers,
            collate_fn=collate,
            persistent_workers=self._workers > 0,
            # a fork of a process with threads may stop for ever
            multiprocessing_context="spawn" if self._workers else None,
        )

    def write_index(self, path: Path) -> None:
        """Write which patterns are grouped, as NPZ.

        Keys: `scans` (names), and for scan number s `positions_px_s`, `training_s`, `validation_s`.
        """
        arrays: dict[str, Any] = {"scans": np.array([scan.name for scan in self.scans])}
        for number, (scan, split) in enumerate(zip(self.scans, self.splits, strict=True)):
            arrays[f"positions_px_{number}"] = scan.positions_px
            arrays[f"training_{number}"] = split.training
            arrays[f"validation_{number}"] = split.validation
        with write_atomically(path) as file:
            np.savez_compressed(file, **arrays)
