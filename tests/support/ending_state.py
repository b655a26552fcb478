"""Runs that are lost at a chosen moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ptycho_torch.runtime.saved_state import SavedState, Saving


class Lost(BaseException):
    """Ends a run at once, as a lost process does: nothing handles it."""


class Ending(SavedState):
    """A state that is saved after every epoch, of a run that is lost after a number of them."""

    pause = least_pause_s = 0

    def __init__(self, folder: Path, last: int | None = None, *, resume: bool = False) -> None:
        super().__init__(Saving(folder, resume=resume), {"scan": "small"})
        self.reached = 0
        self._last = last

    def reach(self, name: str, make_values: Callable[[], dict[str, Any]]) -> None:
        super().reach(name, make_values)
        self.reached += 1
        if self.reached == self._last:
            raise Lost
