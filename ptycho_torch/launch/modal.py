"""Runs on Modal, whose machines read and write a volume."""

from __future__ import annotations

import contextlib
import logging
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ptycho_torch.config.fields import Settings, setting
from ptycho_torch.errors import PtychoError, require_extra
from ptycho_torch.launch.job import Expectation, run_and_return_record, store_record
from ptycho_torch.runtime.requirements import find_requirements

_log = logging.getLogger(__name__)

# where the volume is mounted, and where relative paths of a run begin
MOUNT = "/data"
_PACKAGE = "ptycho_torch"
_APP = "ptycho-torch"
# whose libraries a run may need
_EXTRAS = ("run", "track")


@dataclass(frozen=True, kw_only=True)
class ModalLauncher(Settings):
    """Runs on Modal, one container each."""

    processes: int = setting(10, at_least=1, at_most=1000, help="containers at the same time")
    volume: str = setting("ptycho", help="volume with the scans, which gets the results; paths of runs begin in it")
    gpu: str | None = setting("L4", help="kind of GPU; none for a machine without one")
    cpus: float = setting(4.0, above=0, at_most=64, help="processor cores of a container")
    memory_gb: float = setting(16.0, unit="GB", above=0, at_most=336, help="memory of a container")
    minutes: float = setting(60.0, unit="min", above=0, at_most=1440, help="time limit of a run")

    @property
    def elsewhere(self) -> bool:
        """Whether the runs take place on other machines."""
        return True

    def require(self) -> None:
        """Check that runs can be launched from here.

        Raises:
            MissingExtraError: the library of Modal is not installed.
        """
        require_extra("launcher modal", "modal", "modal")

    def describe_resources(self) -> dict[str, Any]:
        """The resources of a container, by the names of Modal."""
        return {
            "gpu": self.gpu,
            "cpu": self.cpus,
            "memory": math.ceil(self.memory_gb * 1024),
            "timeout": math.ceil(self.minutes * 60),
            "max_containers": self.processes,
        }

    def build(self) -> tuple[Any, Any]:
        """Build the app and its function that runs a configuration; needs no account.

        Raises:
            MissingExtraError: the library of Modal is not installed.
        """
        self.require()
        import modal  # noqa: PLC0415 - belongs to an extra

        image = (
            modal.Image.debian_slim(python_version=".".join(platform.python_version_tuple()[:2]))
            .pip_install(*list_requirements())
            .workdir(MOUNT)
            .add_local_python_source(_PACKAGE)
        )
        app = modal.App(_APP, image=image)
        volume = modal.Volume.from_name(self.volume, create_if_missing=True)
        wrap = app.function(serialized=True, volumes={MOUNT: volume}, **self.describe_resources())
        return app, wrap(run_and_return_record)

    def launch(self, jobs: Sequence[Mapping[str, Any]]) -> list[int]:
        """Run configurations, given as plain values, and return their exit codes; 1 for a run that did not end itself.

        The results stay on the volume; the run record of each is also stored here, in the folder of its results.

        Raises:
            MissingExtraError: the library of Modal is not installed.
            PtychoError: Modal refuses the runs, such as without an account.
        """
        app, function = self.build()
        import modal  # noqa: PLC0415

        arguments = [(dict(values), Expectation.of(values)) for values in jobs]
        try:
            with app.run():
                found = list(function.starmap(arguments, return_exceptions=True))
        except modal.exception.Error as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise PtychoError(f"launcher modal: {reason}") from error
        codes = []
        for values, outcome in zip(jobs, found, strict=True):
            if isinstance(outcome, BaseException):
                _log.warning("run %s: %s", values["run"]["output_dir"], " ".join(str(outcome).split())[:300])
                codes.append(1)
            else:
                code, record = outcome
                store_record(values, record)
                codes.append(code)
        return codes


def list_requirements() -> list[str]:
    """The libraries of a run, with those of extras as far as they are here, in the versions that are installed here."""
    found = set()
    for name in (wanted.name for wanted in find_requirements(*_EXTRAS)):
        with contextlib.suppress(PackageNotFoundError):
            found.add(f"{name}=={version(name).partition('+')[0]}")
    return sorted(found)
