"""Commands that run tests: one selector, or the map of the active phases."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from redgreen.checks import status
from redgreen.checks.remedies import list_ways_on
from redgreen.codec import to_json
from redgreen.codes import GREEN, Mode, Verdict
from redgreen.commands.answer import Answer
from redgreen.commands.replays import describe_record
from redgreen.errors import RedgreenError, RegistryError
from redgreen.evidence.guards import locate
from redgreen.evidence.sealed import SealedRun, load_replay
from redgreen.project import Project
from redgreen.registry.load import find_selector, load_registry
from redgreen.run.launch import Session
from redgreen.runner import run_many, run_selector

KEPT_CHUNKS: Final = 64  # the end of pytest's output, which says what it missed


def run_one(
    project: Project, name: str, mode: Mode, show: Callable[[bytes], object], *, red: str = "", keep: bool = False
) -> Answer:
    """Run one selector; `red` and `keep` as in `run_selector`."""
    registry = load_registry(project.root)
    selector = find_selector(registry, name)
    output: deque[bytes] = deque(maxlen=KEPT_CHUNKS)

    def show_and_note(chunk: bytes) -> None:
        show(chunk)
        output.append(chunk)

    session = Session(project, registry, show_and_note)
    with session.interrupts:
        run = run_selector(session, selector, mode, red, keep=keep)
    lines = ["", f"{run.verdict}", *(f"  {reason}" for reason in run.result.reasons[:20])]
    if not run.verdict.is_valid:
        told = b"".join(output).decode("utf-8", "replace")
        lines += [f"  to go on: {remedy}" for remedy in list_ways_on(run.result, told, registry, project.root)]
    path = project.relativize(locate(project, run))
    replayed = load_replay(run) if run.result.mode is GREEN else None
    lines += describe_record(replayed) if replayed is not None else []
    return Answer(run.result.exit_code, _name(run), lines, to_json(run.result) | {"folder": path}, path)


def _name(run: SealedRun) -> str:
    """Name how a run ended: by what its replay says, where that is not what was asked for."""
    return run.verdict.value if run.is_valid or not run.verdict.is_valid else str(run.result.proof)


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
            rows.append((selector.name, _name(run), run.result.exit_code, path))
    rows += [(selector.name, "NOT_RUN", Verdict.INTERRUPTED.exit_code, "-") for selector in selectors[len(done) :]]
    worst = max(rows, key=lambda row: row[2])
    width = max(len(row[0]) for row in rows)
    lines = ["", *(f"{name:{width}}  {code:3d}  {label:20}  {path}" for name, label, code, path in rows)]
    values = {"runs": [dict(zip(("selector", "verdict", "code", "path"), row, strict=True)) for row in rows]}
    return Answer(worst[2], worst[1] if worst[2] else "ALL_AS_ASKED", lines, values)
