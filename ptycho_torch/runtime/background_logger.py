"""A tracker that runs in a thread of its own, so that a training neither waits for it nor ends with it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from lightning.fabric.utilities import rank_zero_only
from lightning.pytorch.loggers import Logger
from numpy.typing import NDArray

_log = logging.getLogger(__name__)

# calls that wait for a slow tracker; what comes then is not logged
_MOST_WAITING = 10_000
# seconds for a tracker to write what is waiting at the end of a run
PATIENCE_S = 60.0

Call = Callable[[Any], None]


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture of the reconstruction during a training.

    Attributes:
        pixels: (height, width, 3) uint8.
        path: the same as a PNG file.
        step: optimiser steps taken.
    """

    pixels: NDArray[np.uint8]
    path: Path
    step: int


class Tracker(Protocol):
    """A tracker's library, which may be slow, unreachable or defective."""

    @property
    def name(self) -> str:
        """Its name in the settings."""

    def open(self) -> Any:  # noqa: ANN401 - the logger of any library
        """Load the library, start a run and return its Lightning logger."""

    def log_picture(self, logger: Any, picture: Picture) -> None:  # noqa: ANN401
        """Log a picture."""

    def close(self, logger: Any, status: str) -> None:  # noqa: ANN401
        """End the run; the status is `success` or another word of Lightning's."""


class BackgroundLogger(Logger):
    """Hands values and pictures to a tracker in the order in which they come, from a thread that starts with the first.

    The first failure is logged as a warning, and the tracker is not called again. Only the first process of a run logs.

    Args:
        tracker: where to log.
        patience_s: longest wait at the end of the run, in seconds.
    """

    def __init__(self, tracker: Tracker, patience_s: float = PATIENCE_S) -> None:
        super().__init__()
        self.tracker = tracker
        self._patience_s = patience_s
        self._calls: queue.Queue[Call] | None = None
        self._thread: threading.Thread | None = None
        self._ended = False

    @property
    def name(self) -> str:
        """Name of the tracker."""
        return self.tracker.name

    @property
    def version(self) -> str:
        """Always empty: the name of the run is up to the tracker."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log values."""
        values = dict(metrics)
        self._enqueue(lambda logger: logger.log_metrics(values, step))

    @rank_zero_only
    def log_hyperparams(self, params: Any, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Lightning's own signature
        """Log the settings of the run."""
        self._enqueue(lambda logger: logger.log_hyperparams(params))

    @rank_zero_only
    def log_picture(self, picture: Picture) -> None:
        """Log a picture."""
        self._enqueue(lambda logger: self.tracker.log_picture(logger, picture))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End the run, and wait until the tracker has taken everything, but not longer than `patience_s`."""
        if self._thread is None:
            return

        def close(logger: Any) -> None:  # noqa: ANN401 - the logger of any library
            self.tracker.close(logger, status)
            self._ended = True

        self._enqueue(close)
        self._thread.join(self._patience_s)
        if self._thread.is_alive():
            self._give_up(f"did not finish within {self._patience_s:g} s")

    def _enqueue(self, call: Call) -> None:
        if self._ended:
            return
        if self._calls is None:
            self._calls = queue.Queue(_MOST_WAITING)
            # a daemon, so that the process can end while the tracker hangs
            self._thread = threading.Thread(target=self._work, args=(self._calls,), name=self.name, daemon=True)
            self._thread.start()
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            self._give_up(f"is too slow: {_MOST_WAITING} values wait for it")

    def _work(self, calls: queue.Queue[Call]) -> None:
        try:
            logger = self.tracker.open()
            while not self._ended:
                calls.get()(logger)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a library of others raises
            self._give_up(f"failed ({type(error).__name__}: {error})")

    def _give_up(self, reason: str) -> None:
        if not self._ended:
            self._ended = True
            _log.warning("tracker %s %s; training goes on without it", self.name, " ".join(reason.split())[:500])
