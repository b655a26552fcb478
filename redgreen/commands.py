"""What each command does: from plain arguments to an exit code, lines for people and values for tools.

Every function raises a `RedgreenError` for what it refuses.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from redgreen.checks import doctor, documents, lint, status
from redgreen.codec import to_json
from redgreen.codes import Mode, Verdict
from redgreen.errors import DocsError, LedgerError, RedgreenError, RegistryError, VerifyError
from redgreen.evidence import abandoned, ledger
from redgreen.evidence.verify_all import verify_all
from redgreen.project import Project
from redgreen.registry.load import find_selector, load_registry
from redgreen.replay.cell import Conditions
from redgreen.replay.proof import ACCEPTED, PROOF_CODES
from redgreen.replay.prove import Replay, prove_range
from redgreen.run.launch import Session
from redgreen.run.runner import run_many, run_selector


@dataclass(slots=True)
class Answer:
    """What a command has to say.

    Attributes:
        code: Exit code.
        label: Verdict, or name of the error kind.
        lines: For people.
        values: For tools.
        path: Report folder or file, relative to the root; `-` when there is none.
    """

    code: int
    label: str
    lines: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    path: str = "-"


def run_one(project: Project, name: str, mode: Mode, red: str, show: Callable[[bytes], object]) -> Answer:
    """Run one selector."""
    registry = load_registry(project.root)
    selector = find_selector(registry, name)
    session = Session(project, registry, show)
    with session.interrupts:
        run = run_selector(session, selector, mode, red)
    proof = " (characterisation: the RED came from a stub)" if run.result.proof else ""
    lines = ["", f"{run.verdict}{proof}", *(f"  {reason}" for reason in run.result.reasons[:20])]
    path = project.relativize(run.folder)
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
            rows.append((selector.name, run.verdict.value, run.verdict.exit_code, project.relativize(run.folder)))
    rows += [(selector.name, "NOT_RUN", Verdict.INTERRUPTED.exit_code, "-") for selector in selectors[len(done) :]]
    worst = max(rows, key=lambda row: row[2])
    width = max(len(row[0]) for row in rows)
    lines = ["", *(f"{name:{width}}  {code:3d}  {label:20}  {path}" for name, label, code, path in rows)]
    values = {"runs": [dict(zip(("selector", "verdict", "code", "path"), row, strict=True)) for row in rows]}
    return Answer(worst[2], worst[1] if worst[2] else "ALL_AS_ASKED", lines, values)


def lint_registry(project: Project, *, freeze: bool) -> Answer:
    """Check the registry against what pytest really collects; write the frozen ids when asked."""
    try:
        registry = load_registry(project.root)
    except RegistryError as error:
        if not error.problems:
            raise
        problems = [str(problem) for problem in error.problems]
        return Answer(error.code, error.label, problems, {"problems": problems, "notes": []})
    findings = lint.lint(project, registry)
    if freeze and all(lint.DRIFT in problem.message for problem in findings.problems):
        lint.freeze(project, registry, findings)
        findings = lint.lint(project, load_registry(project.root))
    problems = [str(problem) for problem in findings.problems]
    notes = [f"note: {note}" for note in findings.notes]
    counts = {name: len(ids) for name, ids in findings.chosen.items()}
    values = {"problems": problems, "notes": list(findings.notes), "selectors": counts}
    if problems:
        return Answer(RegistryError.code, RegistryError.label, [*problems, *notes], values)
    live = sum(not selector.planned for selector in registry.selectors.values())
    total = len(registry.selectors)
    closing = (
        f"{total} selectors, {live} live and {total - live} planned; {findings.collected} tests collected: no problem"
    )
    return Answer(0, "LINT_CLEAN", [*notes, closing], values)


def verify(project: Project, path: str, against: str) -> Answer:
    """Check sealed folders, and with them the ledger."""
    problems, number = verify_all(project, path, against)
    values = {"folders": number, "problems": problems}
    if problems:
        return Answer(VerifyError.code, VerifyError.label, problems, values)
    return Answer(0, "VERIFIED", [f"{number} report folders verified"], values)


def check_ledger(project: Project) -> Answer:
    """Compare the ledger with the folders."""
    problems = ledger.check(project, load_registry(project.root))
    if problems:
        hint = "run `python -m redgreen ledger --rebuild`"
        return Answer(LedgerError.code, LedgerError.label, [*problems, hint], {"problems": problems})
    return Answer(0, "LEDGER_AS_SEALED", ["the ledger says what the folders say"], {"problems": []})


def rebuild_ledger(project: Project) -> Answer:
    """Render the ledger again."""
    changed = ledger.rebuild(project, load_registry(project.root))
    line = "docs/fix_plan.md: " + ("rendered again" if changed else "already as the folders say")
    return Answer(0, "LEDGER_REBUILT", [line], {"changed": changed})


def show_status(project: Project) -> Answer:
    """Show the state of every selector and what to run next."""
    registry = load_registry(project.root)
    rows = status.list_standings(project, registry)
    open_runs = abandoned.find_unfinished(project)
    width = max(len(row.selector) for row in rows)
    lines = []
    for initiative in registry.initiatives.values():
        lines.append(f"{initiative.name}  active phase: {initiative.active_phase or 'none'}")
        for row in rows:
            if row.initiative == initiative.name:
                mark = "*" if row.active else " "
                told = " stale" if row.stale else ""
                told += f"  last: {row.last}" if row.last else ""
                told += f"  ({row.invalid} of {row.attempts} invalid)" if row.invalid else ""
                lines.append(f" {mark} {row.phase:3} {row.selector:{width}}  {row.state}{told}")
    lines += [f"unfinished: {project.relativize(folder)}{' (running)' if alive else ''}" for folder, alive in open_runs]
    steps = [row.next for row in rows if row.active and row.next]
    if any(not alive for _, alive in open_runs):
        steps.insert(0, "python -m redgreen close")
    lines += ["", *(f"next: {step}" for step in steps)] if steps else ["", "next: nothing waits in the active phases"]
    values = {
        "selectors": to_json(rows),
        "unfinished": [{"folder": project.relativize(folder), "running": alive} for folder, alive in open_runs],
        "next": steps,
    }
    return Answer(0, "STATUS", lines, values)


def close(project: Project) -> Answer:
    """Seal abandoned runs and put them into the ledger."""
    folders = abandoned.close(project)
    if folders and not project.scratch:
        ledger.rebuild(project, load_registry(project.root))
    names = [project.relativize(folder) for folder in folders]
    lines = [f"sealed as abandoned: {name}" for name in names] or ["no run was left unfinished"]
    return Answer(0, "CLOSED", lines, {"sealed": names})


def generate_docs(project: Project, *, check: bool) -> Answer:
    """Write the documents that come from the registry, or compare them with it."""
    registry = load_registry(project.root)
    different = documents.find_outdated(project, registry)
    if check:
        if different:
            lines = [f"{name}: differs from the registry; run `python -m redgreen docs`" for name in different]
            return Answer(DocsError.code, DocsError.label, lines, {"different": different})
        return Answer(0, "DOCS_CURRENT", ["the generated documents say what the registry says"], {"different": []})
    documents.write(project, registry, different)
    lines = [f"{name}: written" for name in different] or ["already as the registry says"]
    return Answer(0, "DOCS_WRITTEN", lines, {"written": different})


def examine(project: Project) -> Answer:
    """Check whether this machine and repository can record runs."""
    rows = doctor.examine(project)
    bad = [row for row in rows if not row.good]
    lines = [f"{'ok ' if row.good else 'BAD'}  {row.subject}: {row.finding}" for row in rows]
    values = {"findings": to_json(rows)}
    code = bad[0].code if bad else 0
    return Answer(code, "UNFIT" if bad else "FIT", lines, values)


def prove(project: Project, arguments: Namespace) -> Answer:
    """Replay a range of commits and tell what that proves."""
    conditions = Conditions(arguments.budget, arguments.repeat, tuple(arguments.pass_env))
    accept = (*ACCEPTED, *arguments.accept)
    product = tuple(arguments.product)
    return describe_replay(
        prove_range(
            project.root,
            arguments.range,
            arguments.tests,
            conditions,
            product=product,
            accept=accept,
            hunks=arguments.hunks,
        )
    )


def describe_replay(replay: Replay) -> Answer:
    """Tell what a replay found."""
    proof = replay.proof
    unwitnessed = [str(hunk) for hunk in replay.hunks if hunk.state == "unwitnessed"]
    lines = [
        f"{proof.verdict}  {replay.change.base[:12]}..{replay.change.head[:12]}",
        *(f"  {reason}" for reason in proof.reasons[:20]),
        *(f"  note: {note}" for note in proof.notes[:20]),
        f"  product: {', '.join(replay.change.product[:10]) or 'no file of it differs'}",
        f"  held: {proof.held} tests passed before and after",
        *([f"  hunks: {len(replay.hunks)}, unwitnessed {len(unwitnessed)}"] if replay.hunks else []),
        *(f"    {hunk}" for hunk in unwitnessed),
        f"  {replay.processes} processes, {replay.wall_s:.1f} s",
    ]
    values = {
        "reasons": list(proof.reasons),
        "notes": list(proof.notes),
        "fixed": list(proof.fixed),
        "held": proof.held,
        "product": list(replay.change.product),
        "others": list(replay.change.others),
        "tests": list(replay.tests),
        "cells": [
            {"name": cell.name, "problem": cell.problem, "tests": {key: one.outcome for key, one in cell.tests.items()}}
            for cell in replay.cells.list()
        ],
        "hunks": [str(hunk) for hunk in replay.hunks],
        "processes": replay.processes,
        "wall_s": round(replay.wall_s, 3),
    }
    return Answer(PROOF_CODES[proof.verdict], proof.verdict, [make_printable(line) for line in lines], values)


def make_printable(text: str) -> str:
    """Replace what no terminal can show: bytes of a file's name that are no UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
