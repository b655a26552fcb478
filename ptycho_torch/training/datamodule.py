"""Scans to batches for training and validation."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from torch.utils.data import DataLoader, Sampler

from ptycho_torch.config.schema import TrainingSettings
from ptycho_torch.data.grouping import GroupRule
from ptycho_torch.data.scan import Scan
from ptycho_torch.storage.writing import write_atomically
from ptycho_torch.training.dataset import Batch, GroupDataset
from ptycho_torch.training.splitting import split_groups

_log = logging.getLogger(__name__)


class GroupSampler(Sampler[int]):
    """Some of the groups in random order, drawn anew for each epoch from the seed and the epoch's number.

    So a run that is resumed sees the groups that it would have seen without the break.

    Args:
        groups: how many there are.
        draws: how many of them an epoch takes, each at most once.
        seed: seed of the draw.
    """

    def __init__(self, groups: int, draws: int, seed: int) -> None:
        self._groups, self._draws, self._seed = groups, min(draws, groups), seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Groups an epoch."""
        return self._draws

    def __iter__(self) -> Iterator[int]:
        """Indices of groups."""
        order = np.random.default_rng((self._seed, self._epoch)).permutation(self._groups)
        return iter(order[: self._draws].tolist())


class ScanDataModule(lightning.LightningDataModule):
    """Groups of one or several scans, split, shuffled and batched by seed.

    An epoch draws as many groups as it takes to see each pattern once on average.

    Args:
        scans: scans with patterns of one size.
        settings: size of groups and batches, share for validation, seed, what to learn from.

    Raises:
        DataError: the object is to be learnt from, and a scan does not know it.
    """

    def __init__(self, scans: Sequence[Scan], settings: TrainingSettings) -> None:
        super().__init__()
        self.scans = tuple(scans)
        self._settings = settings
        size = min(settings.group_size, *(len(scan) for scan in scans))
        if size < settings.group_size:
            _log.warning(
                "groups shrink from %d to %d patterns, all that the smallest scan has", settings.group_size, size
            )
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
        for scan, split in zip(scans, self.splits, strict=True):
            if split.shared and settings.validation_share:
                _log.warning("%s is too small to set patterns aside: validation sees training patterns too", scan.name)
        labelled = settings.target == "object"
        self.training = GroupDataset(scans, [split.training for split in self.splits], labelled=labelled)
        self.validation = GroupDataset(scans, [split.validation for split in self.splits], labelled=labelled)
        self.group_size = size
        once = max(1, round(len(self.training) / settings.groups_per_pattern / size))
        self._per_epoch = min(settings.groups_per_epoch or once, len(self.training))

    @property
    def batches_per_epoch(self) -> int:
        """Training batches of an epoch."""
        return -(-self._per_epoch // self._settings.batch_size)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch; its last one may see fewer batches than the others."""
        return -(-self.batches_per_epoch // self._settings.accumulate)

    @property
    def main_steps(self) -> int:
        """Optimiser steps before any fine tuning."""
        return self._settings.steps or self._settings.epochs * self.steps_per_epoch

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole training."""
        return self.main_steps + self._settings.fine_tune_epochs * self.steps_per_epoch

    def train_dataloader(self) -> DataLoader[Batch]:
        """Random groups without repetition, in a seeded order that differs from epoch to epoch."""
        sampler = GroupSampler(len(self.training), self._per_epoch, self._settings.seed)
        return DataLoader(self.training, batch_size=self._settings.batch_size, sampler=sampler)

    def val_dataloader(self) -> DataLoader[Batch]:
        """All validation groups in order."""
        return DataLoader(self.validation, batch_size=self._settings.batch_size)

    def write_index(self, path: Path) -> None:
        """Write which patterns are grouped, the state that tells what a run was trained on.

        Keys: `scans` (names), and for the scan of number s `positions_px_s`, `training_s`, `validation_s`.
        """
        arrays: dict[str, Any] = {"scans": np.array([scan.name for scan in self.scans])}
        for number, (scan, split) in enumerate(zip(self.scans, self.splits, strict=True)):
            arrays[f"positions_px_{number}"] = scan.positions_px
            arrays[f"training_{number}"] = split.training
            arrays[f"validation_{number}"] = split.validation
        with write_atomically(path) as file:
            np.savez_compressed(file, **arrays)
