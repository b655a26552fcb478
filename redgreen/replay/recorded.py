"""Replay what report folders record: a GREEN that is just being sealed, or an old pair."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from redgreen.codec import parse_object
from redgreen.codes import Verdict
from redgreen.errors import PairError
from redgreen.evidence.packed import read_contents
from redgreen.evidence.replayed import ReplayRecord
from redgreen.evidence.sealed import SealedRun, load_run, load_runs
from redgreen.project import Project
from redgreen.registry.model import Selector
from redgreen.replay.cell import Conditions
from redgreen.replay.pair import Side, replay_pair

__all__ = ["find_green", "list_guards", "list_pairs", "load_side", "replay_sealed"]


def load_side(run: SealedRun) -> Side:
    """Load what a sealed folder records of the code that ran.

    Raises:
        PairError: It was run outside of a repository, or its files are gone.
    """
    if run.result.git is None:
        raise PairError(f"{run.result.run_id} records no commit; only a pair of a repository can be replayed")
    try:
        contents = read_contents(run.folder)
        environment = parse_object(contents.get("env.json", b""), "env.json")
    except ValueError as error:
        raise PairError(f"{run.result.run_id}: {error}") from None
    return Side(run.result.run_id, run.result.git, contents.get("worktree.patch", b""), environment)


def list_guards(run: SealedRun) -> list[Selector]:
    """List the guards that ran beside a target, as they were declared.

    Raises:
        ValueError: An entry is not that of a selector.
    """
    return [guard for name, guard in run.intent.load_guards().items() if name in run.result.guards]


def replay_sealed(
    project: Project, run: SealedRun, conditions: Conditions, when: str, budget_s: float | None = None
) -> tuple[ReplayRecord, bytes]:
    """Replay the pair of a sealed GREEN; `budget_s` is for all of it instead of what its entry allows.

    Its processes get longer in proportion, and never less than their entry says.

    Raises:
        PairError: It is no GREEN that answers a RED, or what it needs is gone.
    """
    pair = run.result.pairs_with
    if pair is None:
        raise PairError(f"{run.result.run_id} answers no RED; only a GREEN can be replayed")
    try:
        red = load_run(project.root / pair.folder)
        selector, guards = run.intent.load_selector(), list_guards(run)
        if budget_s is not None:
            conditions = replace(conditions, stretch=max(1.0, budget_s / selector.replay_budget_s))
            selector = replace(selector, replay_budget_s=budget_s)
    except ValueError as error:
        raise PairError(f"{run.result.run_id}: {error}") from None
    return replay_pair(
        project,
        load_side(red),
        load_side(run),
        selector,
        red.result.declared,
        conditions,
        guards=guards,
        when=when,
    )


def list_pairs(project: Project) -> list[SealedRun]:
    """List the valid GREENs of a project that answer a RED, the oldest first."""
    runs = [run for run in load_runs(project) if run.verdict is Verdict.VALID_GREEN and run.result.pairs_with]
    return sorted(runs, key=lambda run: run.key)


def find_green(project: Project, reference: str) -> SealedRun:
    """Find the GREEN of that run id or folder.

    Raises:
        PairError: There is none, or it is not valid.
    """
    wanted = {reference.rstrip("/"), Path(reference).name}
    for run in load_runs(project):
        names = {run.result.run_id, project.relativize(run.folder)}
        if wanted & names or Path(reference).resolve() == run.folder.resolve():
            if run.verdict is not Verdict.VALID_GREEN:
                raise PairError(f"{run.result.run_id} is a {run.verdict}; only a valid GREEN can be replayed")
            return run
    raise PairError(f"no sealed run is called '{reference}'; `redgreen status` and the ledger name them")
