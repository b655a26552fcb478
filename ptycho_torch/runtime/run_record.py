"""The record of a run: inputs, settings, versions and results, from which it can be repeated."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ptycho_torch.errors import OutputError
from ptycho_torch.storage.writing import write_json

RECORD_NAME = "run.json"
_PACKAGES = ("ptycho-torch", "torch", "lightning", "numpy", "scipy")


class RunRecord:
    """Inputs, settings and results of a run in `run.json`, written before the work and again after it.

    The record of an earlier part of the same run moves to `run-1.json`, and so on.

    Args:
        folder: the run's folder.
        command: name of the command.
        settings: all settings as plain values.
        inputs: the files read.
    """

    def __init__(self, folder: Path, command: str, settings: Mapping[str, Any], inputs: Iterable[Path]) -> None:
        self._path = folder / RECORD_NAME
        if self._path.exists():
            # a resumed run keeps the record of its earlier part
            earlier = sum(1 for _ in folder.glob("run*.json"))
            self._path.rename(folder / f"run-{earlier}.json")
        self._values: dict[str, Any] = {
            "command": command,
            "arguments": sys.argv[1:],
            "status": "running",
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "versions": {name: version(name) for name in _PACKAGES},
            "settings": dict(settings),
            "inputs": [{"path": str(path), "sha256": hash_file(path)} for path in inputs],
        }
        write_json(self._values, self._path)

    def finish(self, **results: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """Mark the run as finished and add its results."""
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        self._values |= {"status": "finished", "finished": finished, **results}
        write_json(self._values, self._path)


def check_run(folder: Path) -> None:
    """Raise OutputError unless a folder contains a run that can be resumed."""
    if not (folder / RECORD_NAME).is_file():
        raise OutputError(f"{folder}: contains no {RECORD_NAME}, so there is no run to resume; train without --resume")


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
