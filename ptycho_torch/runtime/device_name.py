"""Names of devices, which can be checked before torch is loaded."""

from __future__ import annotations

import re

from ptycho_torch.errors import ConfigError

_NAME = re.compile(r"auto|cpu|cuda(:[0-9]{1,6})?")


def check_device_name(name: str) -> str:
    """Return the name of a device after a check of its form; `find_device` checks whether the machine has it.

    Raises:
        ConfigError: the name is unknown.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"device is {name!r}; it must be auto, cpu, cuda or cuda:N")
    return name
