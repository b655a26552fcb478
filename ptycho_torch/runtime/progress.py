"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

# called with how much is done, and with R where it is known
Progress = Callable[[int, float | None], None]

# called with the name of a stage, its length and the unit of that; makes the stage's progress callback
Stages = Callable[[str, int, str], Progress]
