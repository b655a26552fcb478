"""Commands that run tests: one selector, or the map of the active phases."""

from __future__ import annotations

from collections.abc import Callable

from redgreen.checks import status
from redgreen.codec import to_json
from redgreen.codes import Mode, Verdict
from redgreen.commands.answer import Answer
from redgreen.errors import RedgreenError, RegistryError
from redgreen.evidence.guards import locate
from redgreen.project import Project
from redgreen.registry.load import find_selector, load_registry
from redgreen.run.launch import Session
from redgreen.run.runner import run_many, run_selector


def run_one(
    project: Project, name: str, mode: Mode, show: Callable[[bytes], object], *, red: str = "", keep: bool = False
) -> Answer:
    """Run one selector; `red` and `keep` as in `run_selector`."""
    registry = load_registry(project.root)
    selector = find_selector(registry, name)
    session = Session(project, registry, show)
    with session.interrupts:
        run = run_selector(session, selector, mode, red, keep=keep)
    proof = " (characterisation: the RED came from a stub)" if run.result.proof else ""
    lines = ["", f"{run.verdict}{proof}", *(f"  {reason}" for reason in run.result.reasons[:20])]
    path = project.relativize(locate(project, run))
    return Answer(run.verdict.exit_code, run.verdict.value, lines, to_json(run.result) | {"folder": path}, path)


def run_map(project: Project, mode: Mode, initiative: str, show: Callable[[bytes], object]) -> Answer:
    """Run everything that waits in the active phases, with a closing table."""
    registry = load_registry(project.root)
    if initiative and initiative not in registry.initiatives:
        raise RegistryError(f"{registry.file}: no initiative is called '{initiative}'")
    selectors = status.list_waiting(project, registry, mode, initiative)
    if not selectors:
        active = [f"{one.name} {one.active_phase}" for one in registry.initiatives.values() if one.active_phase]
        where = ", ".join(active) or "no initiative has an active phase"
        return Answer(0, "NOTHING_WAITING", [f"nothing waits for a {mode} run ({where})"], {"runs": []})
    session = Session(project, registry, show)
    with session.interrupts:
        done = run_many(session, selectors, mode)
    rows: list[tuple[str, str, int, str]] = []
    for selector, run in done:
        if isinstance(run, RedgreenError):
            rows.append((selector.name, run.label, run.code, str(run)))
        else:
            path = project.relativize(locate(project, run))
            rows.append((selector.name, run.verdict.value, run.verdict.exit_code, path))
    rows += [(selector.name, "NOT_RUN", Verdict.INTERRUPTED.exit_code, "-") for selector in selectors[len(done) :]]
    worst = max(rows, key=lambda row: row[2])
    width = max(len(row[0]) for row in rows)
    lines = ["", *(f"{name:{width}}  {code:3d}  {label:20}  {path}" for name, label, code, path in rows)]
    values = {"runs": [dict(zip(("selector", "verdict", "code", "path"), row, strict=True)) for row in rows]}
    return Answer(worst[2], worst[1] if worst[2] else "ALL_AS_ASKED", lines, values)
