"""The settings of jobs and of the workers that run them."""

from __future__ import annotations

from dataclasses import dataclass

from ptycho_torch.config.fields import Settings, setting


@dataclass(frozen=True, kw_only=True)
class JobSettings(Settings):
    """How often a job that fails is tried."""

    attempts: int = setting(3, at_least=1, at_most=1000, help="attempts before the job becomes a dead letter")
    backoff_s: float = setting(
        30.0,
        unit="s",
        at_least=0,
        at_most=86_400,
        help="wait after a failure, doubled with each further one up to an hour",
    )


@dataclass(frozen=True, kw_only=True)
class WorkerSettings(Settings):
    """How a worker keeps the jobs that it has taken."""

    lease_s: float = setting(
        60.0,
        unit="s",
        at_least=0.2,
        at_most=86_400,
        help="how long a job is kept without a sign of life of its worker, before another one runs it again",
    )
    poll_s: float = setting(2.0, unit="s", at_least=0.01, at_most=3600, help="wait between looks at an empty queue")
    grace_s: float = setting(
        60.0, unit="s", at_least=0.1, at_most=3600, help="how long a job that is asked to end may take to do so"
    )
