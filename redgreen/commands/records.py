"""Commands about what is recorded: verify, ledger, status, close."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from redgreen.checks import status
from redgreen.codec import to_json
from redgreen.commands.answer import Answer
from redgreen.errors import LedgerError, VerifyError
from redgreen.evidence import abandoned, ledger
from redgreen.evidence.guards import load_recorded
from redgreen.evidence.migrate import find_work, migrate
from redgreen.evidence.policy import read_policy
from redgreen.evidence.verify_all import verify_all
from redgreen.project import Project
from redgreen.registry.load import load_registry


def verify(project: Project, path: str, against: str, *, ask_git: bool = True, policy: Path | None = None) -> Answer:
    """Check sealed folders, and with them the ledger; without git, what history says of them is not asked.

    `policy` is the file of a policy that GREENs must meet.
    """
    asked = read_policy(policy) if policy is not None else None
    problems, number = verify_all(project, path, against, ask_git=ask_git, policy=asked)
    values = {"reports": number, "problems": problems}
    if problems:
        return Answer(VerifyError.code, VerifyError.label, problems, values)
    return Answer(0, "VERIFIED", [f"{number} report{'s' if number != 1 else ''} verified"], values)


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
    line = f"{project.layout.ledger}: " + ("rendered again" if changed else "already as the folders say")
    return Answer(0, "LEDGER_REBUILT", [line], {"changed": changed})


def show_status(project: Project) -> Answer:
    """Show the state of every selector and what to run next."""
    registry = load_registry(project.root)
    newest = status.load_newest(project)
    proofs = status.list_proofs(project, newest)
    rows = [replace(row, proof=proofs.get(row.selector, "")) for row in status.list_standings(project, registry)]
    open_runs = abandoned.find_unfinished(project)
    width = max(len(row.selector) for row in rows)
    lines = []
    for initiative in registry.initiatives.values():
        lines.append(f"{initiative.name}  active phase: {initiative.active_phase or 'none'}")
        for row in rows:
            if row.initiative == initiative.name:
                mark = "*" if row.active else " "
                told = " stale" if row.stale else ""
                told += f" ({row.proof})" if row.proof else ""
                told += f"  last: {row.last}" if row.last else ""
                told += f"  ({row.invalid} of {row.attempts} invalid)" if row.invalid else ""
                lines.append(f" {mark} {row.phase:3} {row.selector:{width}}  {row.state}{told}")
    hunks = status.describe_hunks(replayed for _, replayed in newest.values())
    lines += [hunks] if hunks else []
    lines += [f"unfinished: {project.relativize(folder)}{' (running)' if alive else ''}" for folder, alive in open_runs]
    steps = [row.next for row in rows if row.active and row.next]
    if any(not alive for _, alive in open_runs):
        steps.insert(0, "python -m redgreen close")
    lines += ["", *(f"next: {step}" for step in steps)] if steps else ["", "next: nothing waits in the active phases"]
    values = {
        "selectors": to_json(rows),
        "hunks": hunks,
        "unfinished": [{"folder": project.relativize(folder), "running": alive} for folder, alive in open_runs],
        "next": steps,
    }
    return Answer(0, "STATUS", lines, values)


def close(project: Project) -> Answer:
    """Seal abandoned runs, finish what else was interrupted, and put all into the ledger."""
    folders = abandoned.close(project)
    work = find_work(project, begun=True)
    migrate(project, work)
    if not project.scratch and any(load_recorded(project)):  # a killed run may have had no time for its row
        ledger.rebuild(project, load_registry(project.root))
    names = [project.relativize(folder) for folder in folders]
    rest = [project.relativize(folder) for some in (work.pack, *work.archive.values()) for folder in some]
    lines = [f"sealed as abandoned: {name}" for name in names]
    lines += [f"brought into its kept form: {name}" for name in rest if name not in names]
    return Answer(0, "CLOSED", lines or ["no run was left unfinished"], {"sealed": names, "finished": rest})
