"""What this machine has: versions, memory, disk."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import torch
from packaging.requirements import Requirement

from ptycho_torch.errors import ConfigError
from ptycho_torch.training.memory import find_free_memory

_DISTRIBUTION = "ptycho-torch"
# variables of jobs that a scheduler or a service has started
_OF_JOBS = ("SLURM_JOB_ID", "MODAL_TASK_ID")


def is_job() -> bool:
    """Whether a cluster or a service has started this process."""
    return any(os.environ.get(name) for name in _OF_JOBS)


def find_requirements() -> list[Requirement]:
    """Find the libraries that this package needs, without those of extras."""
    found = (Requirement(text) for text in requires(_DISTRIBUTION) or [])
    return [wanted for wanted in found if wanted.marker is None or wanted.marker.evaluate({"extra": ""})]


def check_versions() -> dict[str, str]:
    """Compare the installed libraries with those that this package needs; returns their versions and Python's.

    Raises:
        ConfigError: one is missing or has another version.
    """
    versions = {"python": platform.python_version()}
    for wanted in find_requirements():
        try:
            versions[wanted.name] = version(wanted.name)
        except PackageNotFoundError as error:
            raise ConfigError(f"{wanted} is not installed; `python -m pip install '{wanted}'` installs it") from error
        if not wanted.specifier.contains(versions[wanted.name], prereleases=True):
            raise ConfigError(
                f"{wanted.name} {versions[wanted.name]} is installed, but {wanted} is needed; "
                f"`python -m pip install '{wanted}'` replaces it"
            )
    return versions


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
