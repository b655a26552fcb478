"""Numbers of patterns as text, such as `3,17,40-52`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptycho_torch.errors import ConfigError

_MOST_DIGITS = 12


def parse_numbers(text: str, patterns: int) -> NDArray[np.int64]:
    """Parse numbers of patterns, such as `3,17,40-52`.

    Raises:
        ConfigError: a part is neither a number nor a range, or there is no such pattern.
    """
    chosen: list[NDArray[np.int64]] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or not (last or first).isdecimal() or max(len(first), len(last)) > _MOST_DIGITS:
            raise ConfigError(
                f"DataSettings.leave_out is {text[:100]!r}; it must be numbers and ranges as in 3,17,40-52"
            )
        low, high = int(first), int(last or first)
        if low > high or high >= patterns:
            raise ConfigError(f"DataSettings.leave_out names pattern {high}; the patterns are 0 to {patterns - 1}")
        chosen.append(np.arange(low, high + 1))
    return np.concatenate(chosen)


def list_numbers(numbers: NDArray[np.int64]) -> str:
    """Numbers as `3,17,40-52`."""
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    runs = np.split(numbers, breaks)
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def add_numbers(before: str | None, numbers: NDArray[np.int64]) -> str:
    """Numbers as text, after those of a text."""
    return ",".join(part for part in (before, list_numbers(numbers)) if part)
