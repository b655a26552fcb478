"""Where to compute."""

from __future__ import annotations

import torch

from ptycho_torch.errors import ConfigError
from ptycho_torch.runtime.device_name import check_device_name


def find_device(name: str, accelerator: str = "auto") -> torch.device:
    """A device by name: `auto`, `cpu`, `cuda` or `cuda:N`; `auto` is a GPU if the machine has one.

    Args:
        name: the device.
        accelerator: kind of device that the settings name, `auto`, `cpu` or `cuda`.

    Raises:
        ConfigError: the name is unknown, the device does not exist, or it is of another kind than the settings name.
    """
    check_device_name(name)
    if accelerator != "auto":
        if name == "auto":
            name = accelerator
        elif not name.startswith(accelerator):
            raise ConfigError(f"TrainerSettings.accelerator is {accelerator}, but the device is {name}; name one only")
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
