"""The record of a run: inputs, options, settings, versions and results, from which it can be repeated."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ptycho_torch.errors import ConfigError, OutputError
from ptycho_torch.migrations.formats import list_versions
from ptycho_torch.migrations.run_records import RUN_RECORD
from ptycho_torch.runtime.logs import write_log
from ptycho_torch.runtime.requirements import DISTRIBUTION, find_requirements
from ptycho_torch.storage.untrusted import explain_damage
from ptycho_torch.storage.writing import RECORD_NAME, write_atomically, write_json

_LARGEST_BYTES = 2**26
_START_ANEW = "name another folder, or start anew with --overwrite"
# variables on which the last bits of a result, or its place, depend
_VARIABLES = re.compile(r"(OMP|MKL|OPENBLAS|GOMP|KMP|CUDA|CUBLAS|NVIDIA_TF32|TORCH|PYTORCH|SLURM)_\w+|RANK|WORLD_SIZE")


class RunRecord:
    """Inputs, settings and results of a run in `run.json`, written before the work and again after it.

    The record of an earlier part of the same run moves to `run-1.json`, and so on.

    Args:
        folder: the run's folder.
        command: name of the command.
        settings: all settings as plain values.
        inputs: the files read.
        options: the options of the command that are not settings, as plain values.
        name: name of the file.
    """

    def __init__(
        self,
        folder: Path,
        command: str,
        settings: Mapping[str, Any],
        inputs: Iterable[Path],
        *,
        options: Mapping[str, Any] | None = None,
        name: str = RECORD_NAME,
    ) -> None:
        self._path = folder / name
        self._values: dict[str, Any] = {
            **RUN_RECORD.mark(),
            "command": command,
            "arguments": sys.argv[1:],
            "status": "running",
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "versions": find_versions(),
            "formats": list_versions(),
            "git": find_commit(Path(__file__)),
            "environment": describe_environment(),
            "folder": str(Path.cwd()),
            "threads": count_threads(),
            "options": dict(options or {}),
            "settings": dict(settings),
            "inputs": [{"path": str(path), "sha256": hash_file(path)} for path in inputs],
        }
        if name == RECORD_NAME and self._path.exists():
            # a resumed run keeps the record of its earlier part; the folder is never without one
            earlier = sum(1 for _ in folder.glob("run*.json"))
            with write_atomically(folder / f"run-{earlier}.json") as file:
                file.write(self._path.read_bytes())
        write_json(self._values, self._path)
        if name == RECORD_NAME:
            # a record of another name lies beside its file, in a folder that is not that of a run
            write_log(folder)

    def finish(self, *, status: str = "finished", **results: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """Mark the run as finished, or as what else has become of it, and add its results."""
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        self._values |= {"status": status, "finished": finished, **results}
        write_json(self._values, self._path)


def read_record(folder: Path, name: str = RECORD_NAME) -> dict[str, Any]:
    """Read the record of a run, also one of an older version.

    Raises:
        OutputError: there is none, it is damaged, or it is of a newer version.
    """
    path = folder / name
    try:
        return RUN_RECORD.upgrade(_load(path), path)
    except ConfigError as error:
        raise OutputError(f"{path}: {error}") from error


def _load(path: Path) -> dict[str, Any]:
    with explain_damage(path, "record of a run", OutputError), path.open("rb") as file:
        text = file.read(_LARGEST_BYTES + 1)
        record = json.loads(text) if len(text) <= _LARGEST_BYTES else None
    if not isinstance(record, dict):
        raise OutputError(f"{path}: is not the record of a run")
    return record


def read_results(folder: Path) -> dict[str, Any]:
    """The results in the record of a run; empty if it has not finished, or there is none."""
    try:
        record = _load(folder / RECORD_NAME)
        RUN_RECORD.check(record)
    except (OutputError, ConfigError):
        return {}
    results = record.get("results") if record.get("status") == "finished" else None
    return results if isinstance(results, dict) else {}


def find_versions() -> dict[str, str]:
    """Versions of this package and of those that it needs, as far as they are installed."""
    # none are listed if the package is run from a folder and not installed
    wanted = [requirement.name for requirement in find_requirements()] or ["torch", "lightning", "numpy", "scipy"]
    found = {}
    for name in [DISTRIBUTION, *wanted]:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def find_commit(file: Path) -> dict[str, Any] | None:
    """The commit of the git repository that contains a file, and whether files differ from it.

    None if git is missing or no repository contains the file, as when the package is installed.
    """

    def ask(*words: str) -> str:
        options = ["git", "-C", str(file.parent), "--no-optional-locks", *words]
        return subprocess.run(options, capture_output=True, text=True, timeout=20, check=True).stdout.strip()

    try:
        ask("ls-files", "--error-unmatch", file.name)
        changed = ask("status", "--porcelain", "--untracked-files=no")
        return {"commit": ask("rev-parse", "HEAD"), "changed": bool(changed)}
    except (OSError, subprocess.SubprocessError):
        return None


def count_threads() -> int | None:
    """Threads that torch computes with; None if it is not loaded."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else None


def describe_environment() -> dict[str, Any]:
    """The machine and the variables on which results can depend."""
    return {
        "system": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "variables": {name: value for name, value in sorted(os.environ.items()) if _VARIABLES.fullmatch(name)},
    }


def check_run(folder: Path) -> None:
    """Raise OutputError unless a folder contains a run that can be resumed."""
    if not (folder / RECORD_NAME).is_file():
        raise OutputError(f"{folder}: contains no {RECORD_NAME}, so there is no run to resume; start without --resume")


def find_end(
    folder: Path, command: str, settings: Mapping[str, Any], inputs: Iterable[Path], fixed: Collection[str] = ()
) -> dict[str, Any] | None:
    """Find the record of a finished run that is to be resumed; None if it has not finished.

    Args:
        folder: the folder of the run.
        command: name of the command that resumes it.
        settings: the settings by section that it must have had.
        inputs: the files that it must have read.
        fixed: sections that must be the same, as well as the inputs, although the run has not finished.

    Raises:
        OutputError: there is no run, or it was one of another command.
        ConfigError: it had other settings or inputs.
    """
    check_run(folder)
    record = read_record(folder)
    if record.get("command") != command:
        raise OutputError(f"{folder}: contains a run of {record.get('command')!s:.40}, which {command} cannot resume")
    is_finished = record.get("status") == "finished"
    if not is_finished and not fixed:
        return None
    done = f"{folder}: the run {'has finished' if is_finished else 'was begun'}"
    settings = {name: values for name, values in settings.items() if is_finished or name in fixed}
    with explain_damage(folder / RECORD_NAME, "record of a run", OutputError):
        before = {section: dict(record["settings"][section]) for section in settings}
        hashes = [str(entry["sha256"]) for entry in record["inputs"]]
    for section, values in settings.items():
        for name, value in values.items():
            was = before[section].get(name)
            if was != value:
                label = f"{section.capitalize()}Settings.{name}"
                raise ConfigError(f"{done} with {label} {str(was)[:60]}, not {value}; {_START_ANEW}")
    if hashes != [hash_file(path) for path in inputs]:
        raise ConfigError(f"{done} with other files; {_START_ANEW}")
    return record if is_finished else None


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
