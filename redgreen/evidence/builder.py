"""Who runs a replay: a job of continuous integration, as its environment names it, or a person with a key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from redgreen.codec import OMITTED


@dataclass(frozen=True, slots=True)
class Builder:
    """Who ran a replay: the address of the job, or whose key it is; of a job also where it comes from.

    `workflow` is the file that defines the job, `run` the number of its run, `commit` what it had checked out.
    """

    id: str
    repository: str | None = field(default=None, metadata=OMITTED)
    workflow: str | None = field(default=None, metadata=OMITTED)
    run: str | None = field(default=None, metadata=OMITTED)
    commit: str | None = field(default=None, metadata=OMITTED)


def find_builder(environ: Mapping[str, str], principal: str) -> Builder:
    """Return the job that the variables of GitHub or GitLab name; else whose key it is."""
    if environ.get("GITHUB_ACTIONS") == "true":
        repository, run = environ.get("GITHUB_REPOSITORY", ""), environ.get("GITHUB_RUN_ID", "")
        return Builder(
            id=f"{environ.get('GITHUB_SERVER_URL', '')}/{repository}/actions/runs/{run}",
            repository=repository,
            workflow=environ.get("GITHUB_WORKFLOW_REF", ""),
            run=run,
            commit=environ.get("GITHUB_SHA", ""),
        )
    if environ.get("GITLAB_CI") == "true":
        return Builder(
            id=environ.get("CI_JOB_URL", ""),
            repository=environ.get("CI_PROJECT_PATH", ""),
            workflow=environ.get("CI_CONFIG_PATH", ""),
            run=environ.get("CI_PIPELINE_ID", ""),
            commit=environ.get("CI_COMMIT_SHA", ""),
        )
    return Builder(principal)
