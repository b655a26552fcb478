"""The command that prints what a merge request brings."""

from __future__ import annotations

from redgreen.commands.answer import Answer
from redgreen.errors import RegistryError
from redgreen.evidence.comment import describe_new, describe_pair, find_new_runs, find_one
from redgreen.project import Project


def comment(project: Project, reference: str, base: str) -> Answer:
    """Print the text; its code is 0 whatever it says, so that it can be posted: `verify` and `replay` are the gates."""
    if reference and base:
        raise RegistryError("give a run or --base REF, not both")
    if base:
        runs = find_new_runs(project, base)
        lines, ids = describe_new(project, runs, base), [run.run_id for run in runs]
    else:
        run = find_one(project, reference)
        lines, ids = describe_pair(project, run), [run.run_id]
    values = {"runs": ids, "text": "\n".join(lines) + "\n"}
    return Answer(0, "COMMENT", lines, values)
