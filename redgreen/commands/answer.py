"""What a command has to say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Answer:
    """What a command has to say.

    Attributes:
        code: Exit code.
        label: Verdict, or name of the error kind.
        lines: For people.
        values: For tools.
        path: Report folder or file, relative to the root; `-` when there is none.
    """

    code: int
    label: str
    lines: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    path: str = "-"
