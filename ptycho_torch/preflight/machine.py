"""What this machine has: memory, disk, and whether a job runs on it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch

from ptycho_torch.training.memory import find_free_memory

# variables of jobs that a scheduler or a service has started
_OF_JOBS = ("SLURM_JOB_ID", "MODAL_TASK_ID")


def is_job() -> bool:
    """Whether a cluster or a service has started this process."""
    return any(os.environ.get(name) for name in _OF_JOBS)


def measure_memory(device: torch.device) -> int:
    """Bytes of memory that a training can take on a device: all of a GPU's, or what is free on the processor's side."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return find_free_memory()


def find_existing(path: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())


def measure_free_disk(path: Path) -> int:
    """Bytes that can be written to the file system on which a folder lies or would lie."""
    return shutil.disk_usage(find_existing(path)).free
