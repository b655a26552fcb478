"""The schema as nodes of Hydra's store: defaults are those of the dataclasses, written nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore

from ptycho_torch.config.fields import Settings
from ptycho_torch.run.allowed import ALLOWED, TARGET
from ptycho_torch.run.stages import LAUNCHER, RUN, STAGES, Stage

DEFAULT = "default"
EXPERIMENT = "experiment"


def make_node(name: str, section: type[Settings]) -> dict[str, Any]:
    """Make the node of a section: the class to build, and the default of each setting."""
    values = {key: str(value) if isinstance(value, Path) else value for key, value in section().to_dict().items()}
    return {TARGET: ALLOWED[name][0], **values}


def store_schema() -> None:
    """Store the default option of each group, and one configuration for each stage, which lists its groups."""
    store = ConfigStore.instance()
    for stage in STAGES.values():
        for name, section in stage.sections.items():
            store.store(group=name, name=DEFAULT, node=make_node(name, section))
        store.store(group=RUN, name=stage.name, node={"stage": stage.name, **stage.defaults})
        store.store(name=stage.name, node={"defaults": _list_groups(stage)})


def _list_groups(stage: Stage) -> list[Any]:
    groups: list[Any] = [{name: DEFAULT} for name in stage.sections]
    return [*groups, {RUN: stage.name}, {LAUNCHER: "local"}, {f"optional {EXPERIMENT}": None}, "_self_"]
