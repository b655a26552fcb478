"""One run on another machine: what only that machine can show is checked first."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ptycho_torch.errors import ConfigError

# options of a run that name files to read
_INPUTS = ("data", "probe", "checkpoint", "model_path")
# libraries on whose versions results depend
_LIBRARIES = ("ptycho-torch", "torch", "lightning", "numpy", "scipy")
_RECORD = "run.json"


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
        return cls(tuple(str(options[name]) for name in _INPUTS if options.get(name)), find_versions())

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
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in _LIBRARIES:
        try:
            found[name] = version(name).partition("+")[0]
        except PackageNotFoundError:
            continue
    return found


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
    record = Path(str(values.get("run", {}).get("output_dir", ""))) / _RECORD
    return code, record.read_text(encoding="utf-8") if record.is_file() else ""


def store_record(values: Mapping[str, Any], record: str) -> None:
    """Store the record of a run in the folder that the run has on another machine."""
    folder = Path(str(values["run"]["output_dir"]))
    if record:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _RECORD).write_text(record, encoding="utf-8")
