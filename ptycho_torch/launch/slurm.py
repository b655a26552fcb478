"""Runs on a Slurm cluster, submitted by `submitit` as one array of jobs."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ptycho_torch.config.fields import Settings, setting
from ptycho_torch.errors import ConfigError, PtychoError, require_extra
from ptycho_torch.launch.job import Expectation, run_job

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SlurmLauncher(Settings):
    """Runs on a Slurm cluster, one job each."""

    cluster: Literal["slurm", "local"] = setting(
        "slurm", help="slurm, or local: the same jobs as processes of this machine, to try them"
    )
    processes: int = setting(16, at_least=1, at_most=10_000, help="jobs at the same time")
    folder: Path = setting(Path("jobs"), help="folder for scripts and logs of the jobs, which all nodes can see")
    minutes: float = setting(60.0, unit="min", above=0, at_most=1e6, help="time limit of a job")
    partition: str | None = setting(None, help="partition of the cluster; by default the cluster's own")
    account: str | None = setting(None, help="account that the jobs are charged to")
    gpus: int = setting(1, at_least=0, at_most=64, help="GPUs of a job")
    cpus: int = setting(4, at_least=1, at_most=1024, help="processor cores of a job")
    memory_gb: float | None = setting(None, unit="GB", above=0, help="memory of a job; by default the cluster's own")
    setup: str | None = setting(None, help="shell command before each job, such as `module load cuda`")

    @property
    def elsewhere(self) -> bool:
        """Whether the runs take place on other machines."""
        return self.cluster != "local"

    def require(self) -> None:
        """Check that jobs can be submitted from here.

        Raises:
            MissingExtraError: submitit is not installed.
            ConfigError: this machine has no Slurm.
        """
        require_extra("launcher slurm", "submitit", "slurm")
        missing = next((command for command in ("sbatch", "srun") if shutil.which(command) is None), None)
        if self.elsewhere and missing:
            raise ConfigError(
                f"launcher slurm needs the command {missing}, which this machine does not have; "
                "start it on a login node of the cluster"
            )

    def describe_resources(self) -> dict[str, Any]:
        """The resources of a job, by the names of submitit."""
        values = {
            "name": "ptycho",
            "timeout_min": math.ceil(self.minutes),
            "cpus_per_task": self.cpus,
            "tasks_per_node": 1,
            "nodes": 1,
            "gpus_per_node": self.gpus or None,
            "mem_gb": self.memory_gb,
            "slurm_partition": self.partition,
            "slurm_account": self.account,
            "slurm_array_parallelism": self.processes,
            "slurm_setup": [self.setup] if self.setup else None,
        }
        return {name: value for name, value in values.items() if value is not None}

    def launch(self, jobs: Sequence[Mapping[str, Any]]) -> list[int]:
        """Run configurations, given as plain values, and return their exit codes; 1 for a job that did not end itself.

        Raises:
            MissingExtraError: submitit is not installed.
            ConfigError: this machine has no Slurm.
            PtychoError: Slurm refuses the jobs.
        """
        self.require()
        import submitit  # noqa: PLC0415 - belongs to an extra
        from submitit.core.utils import FailedJobError  # noqa: PLC0415

        executor = submitit.AutoExecutor(folder=self.folder / "%j", cluster=self.cluster)
        executor.update_parameters(**self.describe_resources())
        # Slurm limits the jobs of an array itself
        size = len(jobs) if self.elsewhere else self.processes
        codes: list[int] = []
        for first in range(0, len(jobs), size or 1):
            part = jobs[first : first + size]
            try:
                submitted = executor.map_array(run_job, part, [Expectation.of(values) for values in part])
            except FailedJobError as error:
                raise PtychoError(f"launcher slurm: {' '.join(str(error).split())[:300]}") from error
            _log.info("submitted %s; logs in %s", ", ".join(job.job_id for job in submitted), self.folder)
            codes += [_wait(job) for job in submitted]
        return codes


def _wait(job: Any) -> int:  # noqa: ANN401 - a job of submitit
    from submitit.core.utils import UncompletedJobError  # noqa: PLC0415 - belongs to an extra

    try:
        return int(job.result())
    except UncompletedJobError:
        _log.warning(
            "job %s ended without a result, in state %s; its log is %s", job.job_id, job.state, job.paths.stderr
        )
        return 1
