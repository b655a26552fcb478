"""Log messages: those of other packages that users need not read, and the log file in the folder of a run."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

LOG_NAME = "log.txt"
_MOST_LINES = 10_000


class LogKeeper(logging.Handler):
    """Keeps messages until the folder of the run exists, and writes them and later ones to its `log.txt`.

    Args:
        formatter: makes lines of messages, as they are shown.
    """

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._lines: list[str] = []
        self._path: Path | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep or write a message; a log that cannot be written stops no run."""
        line = f"{record.levelname.lower()}: {self.format(record)}\n"
        if self._path is None:
            if len(self._lines) < _MOST_LINES:
                self._lines.append(line)
            return
        with contextlib.suppress(OSError), self._path.open("a", encoding="utf-8") as file:
            file.write(line)

    def write_to(self, folder: Path) -> None:
        """Write what was kept to the log file of a folder, which the first run of the process chooses."""
        if self._path is None:
            self._path = folder / LOG_NAME
            with contextlib.suppress(OSError), self._path.open("a", encoding="utf-8") as file:
                file.writelines(self._lines)
            self._lines = []


def keep_error(text: str) -> None:
    """Keep a message that ends the run, which is shown by other means."""
    for handler in logging.getLogger("ptycho_torch").handlers:
        if isinstance(handler, LogKeeper):
            handler.emit(logging.LogRecord("ptycho_torch", logging.ERROR, "", 0, text, None, None))


def write_log(folder: Path) -> None:
    """Begin the log file of a run, if the command line keeps the messages of this process."""
    for handler in logging.getLogger("ptycho_torch").handlers:
        if isinstance(handler, LogKeeper):
            handler.write_to(folder)


def quiet_lightning() -> None:
    """Turn off Lightning's notes on devices and products, after it was imported: importing it sets the levels."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
