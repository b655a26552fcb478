"""What a shell offers for the overrides of a composed configuration."""

from __future__ import annotations

from typing import Any

from ptycho_torch.cli.command import RUN
from ptycho_torch.config.fields import FieldType, Settings
from ptycho_torch.config.sweep import SweepSettings
from ptycho_torch.run.stages import STAGES


def complete_override(stage: str, prefix: str, **_: Any) -> list[str]:  # noqa: ANN401 - argcomplete passes more
    """List the overrides of a stage that begin with a prefix: groups and keys first, then the values of one of them."""
    key, separator, _value = prefix.partition("=")
    offered = [f"{key}={value}" for value in _list_values(stage, key)] if separator else _list_keys(stage)
    return [text for text in offered if text.startswith(prefix)]


def _sections(stage: str) -> dict[str, dict[str, FieldType]]:
    kinds: dict[str, type[Settings]] = {**STAGES[stage].sections, "sweep": SweepSettings}
    return {name: kind.find_types() for name, kind in kinds.items()}


def _list_keys(stage: str) -> list[str]:
    from ptycho_torch.run.compose import open_composer
    from ptycho_torch.run.nodes import list_groups

    sections = _sections(stage)
    with open_composer(STAGES[stage]) as composer:
        groups = [group for entry in list_groups(composer.stage) if isinstance(entry, dict) for group in entry]
    keys = [f"{section}.{key}=" for section, types in sections.items() for key in types]
    options = [f"{RUN}.{name}=" for name in STAGES[stage].options]
    return [*(f"{group}=" for group in groups if group != RUN), *keys, *options]


def _list_values(stage: str, key: str) -> list[str]:
    from ptycho_torch.run.compose import open_composer

    section, _, name = key.partition(".")
    if not name:
        with open_composer(STAGES[stage]) as composer:
            return composer.list_options(section)
    if section == RUN:
        action = STAGES[stage].options.get(name)
        return ["true", "false"] if action is not None and action.nargs == 0 else []
    kind = _sections(stage).get(section, {}).get(name)
    if kind is None:
        return []
    return [str(value) for value in kind.choices] or (["true", "false"] if kind.base is bool else [])
