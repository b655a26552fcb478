"""Where to compute."""

from __future__ import annotations

import torch

from ptycho_torch.errors import ConfigError
from ptycho_torch.runtime.device_name import check_device_name


def find_device(name: str) -> torch.device:
    """A device by name: `auto`, `cpu`, `cuda` or `cuda:N`; `auto` is a GPU if the machine has one.

    Raises:
        ConfigError: the name is unknown or the device does not exist.
    """
    check_device_name(name)
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if available else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    _, _, number = name.partition(":")
    if int(number or 0) >= available:
        found = f"{available} CUDA device(s) are visible" if available else "no CUDA device is visible"
        raise ConfigError(f"device {name!r} does not exist, {found}; --device cpu works everywhere")
    return torch.device(name)
