"""Processes that work together: which of them this one is, and what they exchange.

Process groups are those of torch.distributed; who started the processes is found by Lightning's cluster environments.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from ptycho_torch.config import TrainerSettings
from ptycho_torch.data.scan import Scan
from ptycho_torch.errors import ConfigError, PtychoError, RankError

if TYPE_CHECKING:
    from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment

# rank and number of processes that this package started, and the file through which they find each other
LAUNCH_VARIABLE = "PTYCHO_TORCH_LAUNCH"
# after so long a wait for the others, they are taken for lost
TIMEOUT = timedelta(minutes=10)
_PACKAGES = ("ptycho-torch", "torch", "lightning", "numpy")

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """The place of this process among those that work together.

    Attributes:
        rank: its number, from 0; rank 0 writes files and messages.
        size: number of processes.
        local_rank: its number on its machine.
        devices: processes on each machine.
        started: whether the others run; if not, this process has to start them.
        environment: who started them, for Lightning; None if nobody did.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    devices: int = 1
    started: bool = True
    environment: ClusterEnvironment | None = field(default=None, compare=False, repr=False)

    @property
    def nodes(self) -> int:
        """Number of machines."""
        return self.size // self.devices

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Add the values of all processes, in place.

        Raises:
            RankError: another process was lost.
        """
        if self.size > 1:
            with explain_loss(self):
                distributed.all_reduce(torch.view_as_real(values) if values.is_complex() else values)
        return values

    def sum_together(self, *values: Tensor) -> list[Tensor]:
        """Add several values of one precision of all processes, in one exchange since each waits for the slowest.

        Raises:
            RankError: another process was lost.
        """
        if self.size == 1:
            return [*values]
        parts = [torch.view_as_real(value) if value.is_complex() else value for value in values]
        sums = self.sum(torch.cat([part.flatten() for part in parts])).split([part.numel() for part in parts])
        sums = [total.view(part.shape) for total, part in zip(sums, parts, strict=True)]
        return [
            torch.view_as_complex(total) if value.is_complex() else total
            for total, value in zip(sums, values, strict=True)
        ]

    def least(self, value: int) -> int:
        """Find the least of the values of all processes."""
        return min(self.gather(value))

    def gather(self, value: T) -> list[T]:
        """Collect the values of all processes, in the order of ranks.

        Raises:
            RankError: another process was lost.
        """
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with explain_loss(self):
            distributed.all_gather_object(values, value)
        return values

    def share(self, items: Tensor) -> Tensor:
        """Take this process's part of items that all processes know."""
        return items[self.rank :: self.size]

    def unite(self, values: Tensor, number: int) -> Tensor:
        """Bring together what each process computed for its `share` of a number of items."""
        whole = values.new_zeros(number, *values.shape[1:])
        self.share(whole).copy_(values)
        return self.sum(whole)


ALONE = Ranks()


def is_launched() -> bool:
    """Whether this process was started by another one of this package, which has checked everything."""
    return LAUNCH_VARIABLE in os.environ


def find_ranks(settings: TrainerSettings) -> Ranks:
    """Find the place of this process among those that the settings ask for.

    A process of a scheduler's job that asks for one device works alone, whatever the job's number of tasks.

    Raises:
        ConfigError: other processes were started than the settings ask for, or nobody can start them.
    """
    asked = (settings.devices or 1) * settings.nodes
    by_torchrun = distributed.is_torchelastic_launched()
    if asked == 1 and not by_torchrun and not is_launched():
        return Ranks()
    from ptycho_torch.runtime.environments import LightningEnvironment, find_scheduler  # noqa: PLC0415 - takes seconds

    if is_launched():
        rank, number, _ = os.environ[LAUNCH_VARIABLE].split(maxsplit=2)
        return _make_ranks(LightningEnvironment(), int(rank), int(number), asked)
    environment = find_scheduler()
    if environment is not None:
        size = environment.world_size()
        devices = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if by_torchrun else settings.devices or 1
        if size == asked or (by_torchrun and settings.devices in (None, devices) and settings.nodes == 1):
            return _make_ranks(environment, environment.global_rank(), size, devices)
        # a job of one task may start processes on its own machine
        if by_torchrun or size > 1 or settings.nodes > 1:
            name = type(environment).__name__.removesuffix("Environment")
            raise ConfigError(
                f"TrainerSettings.devices is {settings.devices or 1} and nodes {settings.nodes}, but {name} started "
                f"{size} processes; start devices × nodes of them"
            )
    if settings.nodes > 1:
        raise ConfigError(
            f"TrainerSettings.nodes is {settings.nodes}; torchrun or a scheduler must start the processes on several "
            "machines, as in: srun ptycho-torch train"
        )
    return Ranks(size=asked, devices=asked, started=False)


def _make_ranks(environment: ClusterEnvironment, rank: int, size: int, devices: int) -> Ranks:
    return Ranks(rank, size, environment.local_rank(), min(devices, size), environment=environment)


@contextmanager
def join_ranks(ranks: Ranks, description: Mapping[str, object]) -> Iterator[Ranks]:
    """Connect the processes for the block, after a check that all of them do the same.

    Args:
        ranks: the place of this process.
        description: plain values that must be the same in all processes; versions of packages are added.

    Raises:
        RankError: a process is missing, or differs from the others.
    """
    if ranks.size == 1 or distributed.is_initialized():
        yield ranks
        return
    if not ranks.is_first:
        # what all of them would say is said once
        logging.getLogger("ptycho_torch").setLevel(logging.ERROR)
    with explain_loss(ranks):
        _connect(ranks)
    check_same(ranks, description)
    yield ranks
    # after an error the others may not answer, and the connection ends with the process
    distributed.destroy_process_group()


def _connect(ranks: Ranks) -> None:
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if is_launched():
        meeting = f"file://{os.environ[LAUNCH_VARIABLE].split(maxsplit=2)[2]}"
    else:
        assert ranks.environment is not None
        os.environ["MASTER_ADDR"] = ranks.environment.main_address
        os.environ["MASTER_PORT"] = str(ranks.environment.main_port)
        meeting = "env://"
    distributed.init_process_group(backend, meeting, TIMEOUT, ranks.size, ranks.rank)


def check_same(ranks: Ranks, description: Mapping[str, object]) -> None:
    """Check that all processes have the same description and the same versions of packages.

    Raises:
        RankError: they differ; the message names the first value that does.
    """
    own = {"Python": platform.python_version(), **{name: version(name) for name in _PACKAGES}, **description}
    first, *others = ranks.gather({name: str(value) for name, value in own.items()})
    for number, other in enumerate(others, start=1):
        for name in {**first, **other}:
            if first.get(name) != other.get(name):
                raise RankError(
                    f"{name} is {other.get(name)} in process {number} and {first.get(name)} in process 0; "
                    "start all processes with the same settings, data and versions"
                )


def check_enough(ranks: Ranks, number: int, things: str) -> None:
    """Raise ConfigError if there are more processes than things to share."""
    if number < ranks.size:
        raise ConfigError(f"{ranks.size} processes cannot share {number} {things}; use fewer TrainerSettings.devices")


@contextmanager
def explain_loss(ranks: Ranks) -> Iterator[None]:
    """Raise RankError if the exchange with other processes inside the block fails."""
    try:
        yield
    except PtychoError:
        raise
    except RuntimeError as error:
        if ranks.size == 1 or not _is_loss(error):
            raise
        raise RankError(
            f"process {ranks.rank} of {ranks.size} lost the connection to another one, which ended or stopped; "
            "a training goes on from its last checkpoint with --resume"
        ) from error


def _is_loss(error: RuntimeError) -> bool:
    words = ("gloo", "connection", "socket", "timed out", "timeout", "nccl", "peer")
    return isinstance(error, distributed.DistError) or any(word in str(error).lower() for word in words)


def describe_scan(scan: Scan) -> str:
    """Describe a scan for a comparison with another one; its photons stand for its patterns."""
    others = [scan.good_pixels, *(array for array in (scan.probe, scan.background) if array is not None)]
    return (
        f"{len(scan)} patterns of {scan.patch_px} px, {scan.photons_per_pattern:.9g} photons, "
        f"positions {hash_arrays(scan.positions_px)}, probe and detector {hash_arrays(*others)}"
    )


def hash_arrays(*arrays: NDArray[Any]) -> str:
    """The beginning of the SHA-256 of shapes, types and values."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]
