"""Callbacks that report progress."""

from __future__ import annotations

from collections.abc import Callable

# called with the amount done, and with R or None
Progress = Callable[[int, float | None], None]

# called with the name of a stage, its length and the unit of the length; returns the progress callback of the stage
Stages = Callable[[str, int, str], Progress]
