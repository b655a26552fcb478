"""Where to compute: names of devices and how many threads."""

from __future__ import annotations

import os

import torch

from ptycho_torch.errors import ConfigError

_MOST_THREADS = 4096


def find_device(name: str) -> torch.device:
    """A device by name: `auto`, `cpu`, `cuda` or `cuda:N`; auto takes a GPU where there is one.

    Raises:
        ConfigError: the name is unknown or the device is not there.
    """
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if available else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    kind, _, number = name.partition(":")
    if kind != "cuda" or not (number == "" or number.isdecimal()):
        raise ConfigError(f"device is {name!r}; auto, cpu, cuda or cuda:N are known")
    if int(number or 0) >= available:
        found = f"{available} CUDA device(s) are visible" if available else "no CUDA device is visible"
        raise ConfigError(f"device {name!r} is not there, {found}; --device cpu works everywhere")
    return torch.device(name)


def limit_threads(threads: int | None) -> None:
    """Compute with so many threads; beside other load fewer can be much faster.

    Raises:
        ConfigError: not at least one, or more than any machine has.
    """
    if threads is None:
        return
    if not 1 <= threads <= _MOST_THREADS:
        raise ConfigError(
            f"threads is {threads}; at least 1 and at most {_MOST_THREADS} are possible, "
            f"this machine has {os.cpu_count()} processors"
        )
    torch.set_num_threads(threads)
