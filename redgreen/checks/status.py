"""The state of every selector, and what to run next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from redgreen.codes import RED, Mode, Verdict
from redgreen.errors import RepositoryError
from redgreen.evidence.freshness import find_freshness, list_newest, read_head
from redgreen.evidence.guards import Recorded, load_recorded
from redgreen.evidence.replayed import ReplayRecord
from redgreen.evidence.replays import count_hunks, find_proof, load_replays
from redgreen.evidence.sealed import SealedRun
from redgreen.project import Project
from redgreen.registry.model import Registry, Selector


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of one selector.

    `state` is planned, waiting (no valid RED yet), red, green, invalid (the newest attempt counts for nothing and
    none is valid), unrun or held (guards); `active` says that its phase is the one being worked on, `stale` that
    the registry has changed what it declares since its newest valid run; `last` names the newest attempt, `next` the
    command to run next, `proof` says whether what its newest GREEN has shown holds for the files at HEAD.
    """

    selector: str
    initiative: str
    phase: str
    role: str
    state: str
    active: bool
    last: str
    stale: bool
    attempts: int
    invalid: int
    next: str
    proof: str = ""


def list_standings(project: Project, registry: Registry) -> list[Standing]:
    """Return the standing of every selector, in the order of the registry."""
    runs: dict[str, list[Recorded]] = {}
    for run in load_recorded(project):
        runs.setdefault(run.selector, []).append(run)
    return [
        _describe(registry, selector, sorted(runs.get(selector.name, []), key=lambda run: run.key))
        for selector in registry.selectors.values()
    ]


def load_newest(project: Project) -> dict[str, tuple[SealedRun, ReplayRecord | None]]:
    """Load the newest GREEN of each selector that showed what was asked of it, with its newest replay."""
    newest = list_newest(run for run in load_recorded(project) if isinstance(run, SealedRun))
    later: dict[str, dict[str, ReplayRecord]] = {}
    found: dict[str, tuple[SealedRun, ReplayRecord | None]] = {}
    for name, run in newest.items():
        try:
            if run.initiative not in later:
                later[run.initiative] = load_replays(project, run.initiative)
            found[name] = run, find_proof(run, later[run.initiative])
        except ValueError:
            found[name] = run, None  # verify names the line
    return found


def list_proofs(project: Project, newest: Mapping[str, tuple[SealedRun, ReplayRecord | None]]) -> dict[str, str]:
    """Say by selector what its newest GREEN proves, and whether that holds for the files at HEAD."""
    try:
        _, head = read_head(project)
    except RepositoryError:
        return {}
    told = {}
    for name, (run, replayed) in newest.items():
        verdict = replayed.verdict.value if replayed is not None else "not replayed"
        told[name] = f"{verdict}, {find_freshness(project, run, replayed, head)}"
    return told


def describe_hunks(replays: Iterable[ReplayRecord | None]) -> str:
    """Say how much of the proven changes tests notice; empty where nothing is proven."""
    noticed, total = count_hunks(filter(None, replays))
    return f"proven changes: tests notice {noticed} of {total} hunks" if total else ""


def list_waiting(project: Project, registry: Registry, mode: Mode, initiative: str = "") -> list[Selector]:
    """Return what a run without a selector takes from the active phases.

    For a RED: live targets without a valid one. For a GREEN: live targets that are red, and the live guards.
    """
    if mode is RED:
        wanted = {("target", "waiting"), ("target", "invalid")}
    else:  # a target whose state is invalid has no RED to answer
        wanted = {("target", "red"), ("guard", "unrun"), ("guard", "held"), ("guard", "invalid")}
    return [
        registry.selectors[each.selector]
        for each in list_standings(project, registry)
        if each.active and (each.role, each.state) in wanted and initiative in ("", each.initiative)
    ]


def _describe(registry: Registry, selector: Selector, runs: list[Recorded]) -> Standing:
    newest = runs[-1] if runs else None
    valid = [run for run in runs if run.is_valid]
    state = _find_state(selector, runs, valid)
    stale = bool(valid) and valid[-1].promise != selector.digest_promise()
    return Standing(
        selector=selector.name,
        initiative=selector.initiative,
        phase=selector.phase,
        role=selector.role,
        state=state,
        active=selector.phase == registry.initiatives[selector.initiative].active_phase,
        last=f"{newest.verdict} {newest.stamp}/{newest.name}" if newest else "",
        stale=stale and not selector.planned,
        attempts=len(runs),
        invalid=len(runs) - len(valid),
        next=_suggest(selector, state, stale),
    )


def _find_state(selector: Selector, runs: list[Recorded], valid: list[Recorded]) -> str:
    if selector.planned:
        return "planned"
    if selector.role == "guard":
        if not runs:
            return "unrun"
        return "held" if runs[-1].verdict is Verdict.GUARD_HELD else "invalid"
    if valid:
        return "green" if valid[-1].verdict is Verdict.VALID_GREEN else "red"
    return "invalid" if runs else "waiting"


def _suggest(selector: Selector, state: str, stale: bool) -> str:
    if state == "planned" or (state in ("green", "held") and not stale):
        return ""
    if selector.role == "guard":
        return f"python -m redgreen guard {selector.name}"
    mode = "green" if state == "red" and not stale else "red"
    return f"python -m redgreen run {mode} {selector.name}"
