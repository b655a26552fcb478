"""The first format of summary.md: folders that have it stay as they are, and are verified by it."""

from __future__ import annotations

from typing import Final

from redgreen.evidence.pair import FROM_STUB, count_outcomes, explain
from redgreen.evidence.record import Result
from redgreen.registry.model import Selector

MOST_ROWS: Final = 60


def render_first_format(result: Result, selector: Selector) -> str:
    """Render summary.md from result.json alone."""
    proof = " · characterisation" if result.proof == "CHARACTERISATION" else ""
    lines = [f"# {result.verdict}{proof}: {result.selector} ({result.mode.name})", "", explain(result), ""]
    if proof:
        lines += [FROM_STUB, ""]
    if result.reasons:
        lines += ["## Why", "", *(f"- {_escape(reason)}" for reason in result.reasons[:MOST_ROWS]), ""]
        if len(result.reasons) > MOST_ROWS:
            lines += [f"… and {len(result.reasons) - MOST_ROWS} more in result.json.", ""]
    lines += _render_facts(result, selector)
    lines += _render_tests(result)
    lines += _render_transition(result)
    lines += _render_processes(result)
    if result.artifacts:
        lines += ["", f"Artifacts: {len(result.artifacts)}, described in artifact_audit.md."]
    lines += ["", "Check the folder with `sha256sum -c MANIFEST.sha256`; notes for people go into NOTES.md."]
    return "\n".join(lines) + "\n"


def _render_facts(result: Result, selector: Selector) -> list[str]:
    git = result.git
    time = result.time
    code = f"commit `{git.head[:12]}`, tree `{git.tree[:12]}`" if git else "not recorded (scratch)"
    if git and git.dirty:
        code += ", with the uncommitted changes of worktree.patch"
    select = " ".join(selector.select) + (f" -k '{selector.k}'" if selector.k else "")
    select += f" -m '{selector.m}'" if selector.m else ""
    rows = [
        ("run", f"`{result.run_id}`"),
        ("initiative, phase", f"{result.initiative}, {result.phase}"),
        ("selection", f"`{select}`"),
        ("tests", count_outcomes(result)),
        ("time", f"{time.pytest_s:.1f} s of pytest, budget {time.budget_s:g} s"),
        ("code", code),
    ]
    if result.pairs_with:
        rows.append(("answers the RED", f"`{result.pairs_with.run_id}`"))
    if not time.monotonic:
        rows.append(("clock", "the clock was set while the run went on; durations are by the monotonic clock"))
    return ["| | |", "|---|---|", *(f"| {name} | {_escape(value)} |" for name, value in rows), ""]


def _render_tests(result: Result) -> list[str]:
    lines = ["## Tests", ""]
    if not result.tests:
        return [*lines, "No test was reported.", ""]
    lines += ["| test | outcome | exception | raised in |", "|---|---|---|---|"]
    order = sorted(result.tests, key=lambda row: (row.outcome == "passed", row.id))
    for row in order[:MOST_ROWS]:
        error = row.error
        told = f"{error.type} ({error.kind}): {(error.message.splitlines() or [''])[0][:160]}" if error else "-"
        place = f"{error.raised_in}, {error.at}" if error else "-"
        outcome = row.outcome + (f" ({row.transition})" if row.transition else "")
        lines.append(f"| `{_escape(row.id)}` | {outcome} | {_escape(told)} | {_escape(place)} |")
    if len(order) > MOST_ROWS:
        lines.append(f"| … {len(order) - MOST_ROWS} more in result.json | | | |")
    return [*lines, ""]


def _render_transition(result: Result) -> list[str]:
    change = result.transition
    if not change:
        return []
    lines = [
        "## From RED to GREEN",
        "",
        f"- fail to pass: {change.f2p} of {change.declared} declared; still failing: {change.still_failing}",
        f"- pass to pass: {change.p2p}; lost: {len(change.lost)}; newly skipped: {len(change.new_skips)}",
    ]
    lines += [f"- changed test: {_escape(nodeid)}" for nodeid in change.test_changed]
    lines += [f"- note: {_escape(note)}" for note in change.notes]
    return [*lines, ""]


def _render_processes(result: Result) -> list[str]:
    lines = ["## Processes", "", "| process | selector | code | seconds | log |", "|---|---|---|---|---|"]
    lines += [
        f"| {run.label} | {run.selector} | {run.rc} | {run.wall_s:.1f} | [{run.log}]({run.log}) |"
        for run in result.runs
    ]
    return lines


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
