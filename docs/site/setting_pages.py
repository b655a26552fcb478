"""The page of all settings, written from the schema."""

from __future__ import annotations

from typing import Any

from words import escape

from ptycho_torch.cli.config_file import SECTIONS
from ptycho_torch.cli.main import list_commands
from ptycho_torch.config.fields import FieldType, Settings


def make_settings() -> str:
    """Describe every setting by section: values, default and meaning."""
    return "\n".join(_describe_section(name, section) for name, section in SECTIONS.items())


def _describe_section(name: str, section: type[Settings]) -> str:
    users = [command.name for command in list_commands() if name in command.sections]
    links = ", ".join(f"[{user}](commands/{user}.md)" for user in users)
    lines = [f"## {name}", "", (section.__doc__ or "").splitlines()[0], "", f"Used by {links}.", ""]
    lines += ["| setting | values | default | meaning |", "|---|---|---|---|"]
    lines += [_describe(section, setting, kind) for setting, kind in section.find_types().items()]
    return "\n".join(lines) + "\n"


def _describe(section: type[Settings], name: str, kind: FieldType) -> str:
    declared = section.__dataclass_fields__[name]
    condition = declared.metadata["acts_when"]
    needs = f"; only if {condition.words.format(section='')}" if condition else ""
    unit = f" [{declared.metadata['unit']}]" if declared.metadata["unit"] else ""
    choices = ", ".join(f"`{choice}`" for choice in kind.choices)
    values = choices or kind.base.__name__ + _describe_range(declared.metadata)
    text = escape(f"{declared.metadata['help']}{needs}{unit}")
    return f"| `{name}` | {values} | {_show(declared.default)} | {text} |"


def _describe_range(limits: Any) -> str:  # noqa: ANN401 - the mapping that dataclasses keep
    words = {"at_least": "≥", "at_most": "≤", "above": "\\>"}
    parts = [f"{sign} {limits[key]:g}" for key, sign in words.items() if limits[key] is not None]
    return f", {', '.join(parts)}" if parts else ""


def _show(value: Any) -> str:  # noqa: ANN401 - whatever the setting holds
    if value is None or value == "":
        return "none"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
