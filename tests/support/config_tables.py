"""The tables of section 5 of specs/ptychodus_api_spec.md, made from the code."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path

from ptycho_torch.config.fields import Settings

HEAD = "| canonical | legacy key | default | source | group |\n|---|---|---|---|---|\n"


def table(section: type[Settings], core: tuple[str, ...]) -> str:
    """One row a canonical field; `core` names those of the minimal selection."""
    rows = []
    for field in fields(section):
        if "key" not in field.metadata:
            continue
        source = field.metadata["source"]
        origin = f"`{source}`" if source else "override"
        kind = "override" if not source else "transform" if field.metadata["adapt"] else "direct"
        value = field.default
        default = "required" if value is MISSING else f"`{str(value) if isinstance(value, Path) else value!r}`"
        group = f"{kind}, mvp" if field.name in core else kind
        rows.append(f"| {field.name} | `{field.metadata['key']}` | {default} | {origin} | {group} |\n")
    return HEAD + "".join(rows)
