"""The schema as nodes of Hydra's store: defaults are those of the dataclasses, written nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore

from ptycho_torch.cli.command import RUN, Command
from ptycho_torch.config.fields import Settings
from ptycho_torch.config.sweep import SweepSettings
from ptycho_torch.run.allowed import LAUNCHERS, TARGET, name_target
from ptycho_torch.run.stages import STAGES

DEFAULT, LAUNCHER, SWEEP, EXPERIMENT = "default", "launcher", "sweep", "experiment"
# the stage whose configuration has groups for all others
_WHOLE = "experiment"


def make_node(settings: Settings) -> dict[str, Any]:
    """Make the node of settings: the class to build, and a default for each setting."""
    kind = type(settings)
    values = {key: str(value) if isinstance(value, Path) else value for key, value in settings.to_dict().items()}
    return {TARGET: name_target(kind), **values}


def store_schema(stage: Command) -> None:
    """Store the default options of the groups of a stage, and its configuration, which lists its groups.

    The defaults of sections may differ between stages, so that one stage is stored at a time.
    """
    store = ConfigStore.instance()
    for name, settings in {**stage.defaults, SWEEP: SweepSettings()}.items():
        store.store(group=name, name=DEFAULT, node=make_node(settings))
    for name, launcher in LAUNCHERS.items():
        store.store(group=LAUNCHER, name=name, node=make_node(launcher()))
    for name, known in STAGES.items():
        store.store(group=RUN, name=name, node={"stage": name, **known.option_defaults})
    store.store(name=stage.name, node={"defaults": list_groups(stage)})


def list_groups(stage: Command) -> list[Any]:
    """The defaults list of a stage: its groups, each with the option that is taken if no other is asked for."""
    groups: list[Any] = [{name: DEFAULT} for name in stage.sections]
    groups += [{RUN: stage.name}, {LAUNCHER: "local"}, {SWEEP: DEFAULT}]
    return [*groups, *([{EXPERIMENT: None}] if stage.name == _WHOLE else []), "_self_"]
