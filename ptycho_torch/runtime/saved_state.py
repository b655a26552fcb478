"""SavedState: what a run has found so far, in a file from which it goes on after it was ended."""

from __future__ import annotations

import logging
import pickle
import time
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from ptycho_torch.errors import CheckpointError, ConfigError
from ptycho_torch.migrations.saved_states import SAVED_STATE
from ptycho_torch.runtime.interrupts import Interrupts
from ptycho_torch.runtime.ranks import ALONE, Ranks
from ptycho_torch.storage.untrusted import explain_damage
from ptycho_torch.storage.writing import write_atomically

_log = logging.getLogger(__name__)

STATE_NAME = "state.ckpt"
_KIND = SAVED_STATE.name

T = TypeVar("T")
Values = dict[str, Any]


@dataclass(frozen=True)
class Saving:
    """Where a run saves what it has found so far.

    Attributes:
        folder: the folder of its results.
        resume: whether to go on with a run that was ended; from its beginning if it had saved nothing yet.
        live_epochs: epochs between two pictures of the run; None for no pictures.
    """

    folder: Path
    resume: bool = False
    live_epochs: int | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / STATE_NAME


class SavedState:
    """What a run has found so far, by stage; saving it takes at most 1 % of the time.

    Args:
        saving: where to save; None to save nothing.
        description: plain values that a run has in common with the one that it continues.
        ranks: the place of this process; the first one writes, and all read.
        interrupts: the signals that the run answers.

    Raises:
        CheckpointError: see `read_state`.
    """

    # a saving begins so many times later as the one before took, and not sooner than this
    pause: float = 100
    least_pause_s: float = 0.2

    def __init__(
        self,
        saving: Saving | None = None,
        description: Mapping[str, object] | None = None,
        ranks: Ranks = ALONE,
        interrupts: Interrupts | None = None,
    ) -> None:
        self.interrupts = interrupts or Interrupts()
        self.saving = saving
        self._description = _plain(description or {})
        self._writes = saving is not None and ranks.is_first
        self._stages: dict[str, Values] = {}
        self._started, self._seconds_before = time.monotonic(), 0.0
        self._due = self._started + self.least_pause_s
        if saving and saving.resume and saving.path.exists():
            self._stages, self._seconds_before = read_state(saving.path, self._description)

    @property
    def stage(self) -> Stage:
        """The run as a whole."""
        return Stage(self, "")

    @property
    def seconds(self) -> float:
        """Wall time of the run, with that of its parts before it was resumed, as far as they were saved."""
        return self._seconds_before + time.monotonic() - self._started

    def find(self, name: str) -> Values | None:
        """The values of a stage; None if it has not been reached."""
        return self._stages.get(name)

    def reach(self, name: str, make_values: Callable[[], Values]) -> None:
        """Save the values of a stage that is under way, if it is time to; raises Interrupted if the run is to end."""
        # what it was continued from is of no more use
        self._stages.pop(name, None)
        if self._writes and time.monotonic() >= self._due:
            self._write({**self._stages, name: make_values()})
        self.interrupts.check()

    def finish(self, name: str, values: Values) -> None:
        """Keep the values of a stage that has come to its end, and forget those of its parts."""
        if not self._writes:
            return
        self._stages = {other: kept for other, kept in self._stages.items() if not other.startswith(f"{name}/")}
        self._stages[name] = values
        if time.monotonic() >= self._due:
            self._write(self._stages)

    def _write(self, stages: Mapping[str, Values]) -> None:
        assert self.saving is not None
        started = time.monotonic()
        content = {
            "kind": _KIND,
            **SAVED_STATE.mark(),
            "description": self._description,
            "seconds": self.seconds,
            "stages": dict(stages),
        }
        with write_atomically(self.saving.path) as file:
            torch.save(content, file)
        now = time.monotonic()
        self._due = now + max(self.least_pause_s, self.pause * (now - started))


@dataclass(frozen=True)
class Stage:
    """A stage of a run, by its name in the state that is saved.

    Attributes:
        state: that of the run.
        name: empty for the run as a whole; those of parts contain that of the whole.
    """

    state: SavedState
    name: str

    def part(self, name: str) -> Stage:
        """A part of this stage."""
        return Stage(self.state, f"{self.name}/{name}")

    def load(self, read: Callable[[Values], T]) -> T | None:
        """Read the values of this stage by a function; None if there are none.

        Raises:
            CheckpointError: the function cannot read them.
        """
        values = self.state.find(self.name)
        if values is None:
            return None
        try:
            return read(values)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise CheckpointError(
                f"the state of {self.name.strip('/') or 'the run'} does not fit the scan; start anew with --overwrite"
            ) from error

    def reach(self, make_values: Callable[[], Values]) -> None:
        """Save what `load` reads if it is time to; raises Interrupted if the run is to end."""
        self.state.reach(self.name, make_values)

    def finish(self, values: Values) -> None:
        """Keep what `load` reads for good, and forget the parts of this stage."""
        self.state.finish(self.name, values)


def check_state(saving: Saving, description: Mapping[str, object]) -> None:
    """Check that a run can go on from the state that was saved, if any was; see `read_state`."""
    if saving.path.exists():
        read_state(saving.path, description)
    else:
        _log.warning("%s: nothing was saved yet; the run starts from its beginning", saving.folder)


def read_state(path: Path, description: Mapping[str, object]) -> tuple[dict[str, Values], float]:
    """Read the stages of a saved state, and the seconds that it took; nothing in the file is run.

    Args:
        path: the file.
        description: plain values that must be the same as when it was saved.

    Raises:
        CheckpointError: the file is damaged, contains code, or belongs to another run.
    """
    content = _load(path)
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        raise CheckpointError(f"{path}: is not the {_KIND} of ptycho_torch")
    try:
        content = SAVED_STATE.upgrade(content, path)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}, or start anew with --overwrite") from error
    before, stages = content.get("description"), content.get("stages")
    if not isinstance(before, dict) or not isinstance(stages, dict):
        raise CheckpointError(f"{path}: its content does not fit together; start anew with --overwrite")
    now = _plain(description)
    for name in {**now, **before}:
        if before.get(name) != now.get(name):
            raise CheckpointError(
                f"{path}: cannot be resumed, as {name} was {before.get(name)} and is {now.get(name)}; "
                "ask for the same again, or start anew with --overwrite"
            )
    seconds = content.get("seconds")
    plausible = all(isinstance(name, str) and isinstance(values, dict) for name, values in stages.items())
    if not plausible or not isinstance(seconds, float):
        raise CheckpointError(f"{path}: its content does not fit together; start anew with --overwrite")
    return stages, seconds


def _plain(description: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in description.items()}


def _load(path: Path) -> object:
    # the restricted reader warns about unusual pickles before it refuses them
    with explain_damage(path, _KIND, CheckpointError), warnings.catch_warnings(action="ignore"):
        with zipfile.ZipFile(path) as archive:
            spoilt = archive.testzip()
        if spoilt:
            raise CheckpointError(f"{path}: is not a readable {_KIND} ({spoilt!a} was changed)")
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise CheckpointError(f"{path}: contains more than plain values and arrays; it is not read") from error


UNSAVED = Stage(SavedState(), "")
