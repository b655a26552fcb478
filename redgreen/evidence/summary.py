"""The page of a report folder that is read first."""

from __future__ import annotations

from typing import Final

from redgreen.evidence.record import Result
from redgreen.registry.model import Selector

MEANING: Final = {
    "VALID_RED": "Every declared test failed in its call, with the declared exception, message and place.",
    "VALID_GREEN": "The declared tests of the RED pass now, and nothing that passed was lost.",
    "GUARD_HELD": "Every test of this guard passed.",
    "ABANDONED": "The run did not come to its end; it shows nothing.",
}
MOST_ROWS: Final = 60


def render_summary(result: Result, selector: Selector) -> str:
    """Render summary.md from result.json alone, so that anybody can render it again and compare."""
    proof = " · characterisation" if result.proof == "CHARACTERISATION" else ""
    meaning = MEANING.get(result.verdict, "This run counts neither as a RED nor as a GREEN.")
    lines = [f"# {result.verdict}{proof}: {result.selector} ({result.mode.name})", "", meaning, ""]
    if proof:
        lines += [
            "The RED of this pair came from a stub: the pair shows that the test runs and now passes, "
            "not that it tells working code from broken code.",
            "",
        ]
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


def count_outcomes(result: Result) -> str:
    """Count the outcomes in a few words: `1 failed`, `3 F2P, 2 P2P`."""
    if result.transition:
        kept = result.transition.p2p
        return f"{result.transition.f2p} F2P" + (f", {kept} P2P" if kept else "")
    return format_outcomes(count_by_outcome(result))


def count_by_outcome(result: Result) -> dict[str, int]:
    """Count the tests of each outcome."""
    counts: dict[str, int] = {}
    for row in result.tests:
        counts[row.outcome] = counts.get(row.outcome, 0) + 1
    return dict(sorted(counts.items()))


def format_outcomes(counts: dict[str, int]) -> str:
    """Say counted outcomes in a few words."""
    return ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items())) or "none"


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
