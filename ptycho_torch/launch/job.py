"""One run on another machine: what only that machine can show is checked first."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptycho_torch.errors import ConfigError
from ptycho_torch.runtime import run_record
from ptycho_torch.storage.writing import RECORD_NAME, write_atomically

# options of a run that name files to read
_INPUTS = ("data", "checkpoint", "model_path", "result")
# its files reach the machine with the run, or lie on a disk that both see
_OWN = "ptycho-torch"


@dataclass(frozen=True)
class Expectation:
    """What the machine of a run must have, as found where it was launched.

    Attributes:
        inputs: files and folders that the run reads.
        versions: versions of Python (major.minor) and of libraries.
    """

    inputs: tuple[str, ...]
    versions: Mapping[str, str]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Expectation:
        """Find what a run expects.

        Args:
            values: its composed configuration, as plain values.
        """
        options = values.get("run", {})
        # a probe can also be the name of an array in the file of the data
        names = [*_INPUTS, *(["probe"] if options.get("probe") and Path(options["probe"]).exists() else [])]
        return cls(tuple(str(options[name]) for name in names if options.get(name)), find_versions())

    def check(self) -> None:
        """Check that this machine has it.

        Raises:
            ConfigError: a file is missing here, or a library has another version.
        """
        for path in self.inputs:
            if not os.access(path, os.R_OK):
                raise ConfigError(f"{path} cannot be read on {platform.node()}, on which the run was started")
        here = find_versions()
        for name, wanted in self.versions.items():
            if here.get(name) != wanted:
                raise ConfigError(
                    f"{name} is {here.get(name, 'not installed')} on {platform.node()}, but {wanted} where the run was "
                    "launched; install the same version"
                )


def find_versions() -> dict[str, str]:
    """Find the versions on which results depend; builds of one version for different hardware count as equal."""
    libraries = {name: number.partition("+")[0] for name, number in run_record.find_versions().items() if name != _OWN}
    return {"python": ".".join(platform.python_version_tuple()[:2]), **libraries}


def run_job(values: Mapping[str, Any], expected: Expectation) -> int:
    """Check this machine and run a composed configuration in a process of its own; returns the exit code.

    Args:
        values: the configuration, as plain values.
        expected: what this machine must have.
    """
    try:
        expected.check()
    except ConfigError as error:
        print(f"ptycho-torch: {error}", file=sys.stderr)  # noqa: T201 - the log of the job
        return 2
    command = [sys.executable, "-m", "ptycho_torch.run.job"]
    return subprocess.run(command, input=json.dumps(values), text=True, check=False).returncode


def run_and_return_record(values: Mapping[str, Any], expected: Expectation) -> tuple[int, str]:
    """Run a configuration where its results stay; returns the exit code and its run record, empty if there is none."""
    code = run_job(values, expected)
    record = _find_record(values)
    return code, record.read_text(encoding="utf-8") if record.is_file() else ""


def store_record(values: Mapping[str, Any], record: str) -> None:
    """Store the record of a run here, in a folder of the name that its results have on the other machine."""
    if record:
        with write_atomically(_find_record(values)) as file:
            file.write(record.encode())


def _find_record(values: Mapping[str, Any]) -> Path:
    return Path(str(values["run"]["output_dir"])) / RECORD_NAME
