"""What a configuration may build: a list of names, and the check that it asks for nothing else."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from ptycho_torch import config
from ptycho_torch.cli.config_file import SECTIONS
from ptycho_torch.config.fields import Settings
from ptycho_torch.config.sweep import SweepSettings
from ptycho_torch.errors import ConfigError
from ptycho_torch.launch.modal import ModalLauncher
from ptycho_torch.launch.slurm import SlurmLauncher
from ptycho_torch.migrations.names import find_present_name
from ptycho_torch.run.local import LocalLauncher

TARGET = "_target_"
# the options of the group of launchers, each with its settings
LAUNCHERS: dict[str, type[Settings]] = {"local": LocalLauncher, "slurm": SlurmLauncher, "modal": ModalLauncher}


def name_target(kind: type[Settings]) -> str:
    """Return the name of a class of settings in a configuration; those of the schema have the one in `config`."""
    module = config.__name__ if hasattr(config, kind.__name__) else kind.__module__
    return f"{module}.{kind.__name__}"


# what may stand under `_target_`, by the part of the configuration in which it may stand
ALLOWED: dict[str, tuple[str, ...]] = {
    **{name: (name_target(section),) for name, section in {**SECTIONS, "sweep": SweepSettings}.items()},
    "launcher": tuple(map(name_target, LAUNCHERS.values())),
}


def find_targets(node: Any, place: str = "") -> Iterator[tuple[str, dict[Any, Any]]]:  # noqa: ANN401 - any plain value
    """Find every mapping with a key of Hydra's grammar of objects, at any depth, with its place."""
    if isinstance(node, dict):
        if any(isinstance(key, str) and key.startswith("_") and key.endswith("_") for key in node):
            yield place, node
        for key, value in node.items():
            yield from find_targets(value, f"{place}.{key}" if place else str(key))
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from find_targets(value, f"{place}[{number}]")


def check_targets(configuration: dict[str, Any]) -> None:
    """Check that a resolved configuration asks for nothing outside of the list; nothing is imported.

    Raises:
        ConfigError: a target is not on the list, stands in the wrong place, or is called in another way.
    """
    for place, node in find_targets(configuration):
        part = place.split(".")[0]
        target = node.get(TARGET)
        if isinstance(target, str):
            # a configuration of an older version names the class as it was called then
            node[TARGET] = target = find_present_name(target)
        if TARGET in node and (not isinstance(target, str) or target not in ALLOWED.get(part, ())):
            choice = ", ".join(ALLOWED.get(part, ())) or "nothing"
            label = f"{place}.{TARGET}" if place else TARGET
            raise ConfigError(f"{label} is {str(target)[:200]!r}; a configuration can build only {choice} there")
        other = next((key for key in node if key != TARGET and str(key).startswith("_")), None)
        if other is not None:
            raise ConfigError(f"{place}.{other} is not supported; of the keys with underscores only {TARGET} is")


def build(node: Mapping[str, Any], place: str) -> Any:  # noqa: ANN401 - whatever the target makes
    """Build the object of a mapping that `check_targets` has passed.

    Raises:
        ConfigError: the target is missing, or a value is unknown or unusable.
    """
    if TARGET not in node:
        raise ConfigError(f"{place} has no {TARGET}; it must be {' or '.join(ALLOWED[place])}")
    module, _, name = node[TARGET].rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    values = {key: value for key, value in node.items() if key != TARGET}
    try:
        return kind.from_dict(values) if issubclass(kind, Settings) else kind(**values)
    except (TypeError, ConfigError) as error:
        raise ConfigError(f"{place}: {error}") from error
