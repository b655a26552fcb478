"""What differs between the environments of two runs, as env.json describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that two environments give differently; a fact that one does not give is `absent` there."""

    name: str
    before: str
    now: str


def compare_environments(before: Mapping[str, object], now: Mapping[str, object]) -> list[Difference]:
    """Name what differs; nothing can be said where one of them is empty."""
    if not before or not now:
        return []
    then, after = _flatten(before), _flatten(now)
    names = sorted(then.keys() | after.keys())
    found = (Difference(name, then.get(name, ABSENT), after.get(name, ABSENT)) for name in names)
    return [each for each in found if each.before != each.now]


def _flatten(environment: Mapping[str, object]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in environment.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": str(inner) for name, inner in value.items()}
        elif key not in ("sha256", "withheld"):
            flat[key] = str(value)
    return flat
