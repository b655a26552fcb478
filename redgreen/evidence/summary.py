"""The page of a report folder that is read first; made of sealed data alone, so that `verify` renders it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from redgreen.codes import GREEN, RED
from redgreen.evidence.markdown import code, escape, fence, link, row, table
from redgreen.evidence.pair import (
    Fixed,
    count,
    count_outcomes,
    explain,
    explain_proof,
    list_fixed,
    list_others,
    list_protected,
    name_proof,
)
from redgreen.evidence.patch import FileDiff, divide, split_patch
from redgreen.evidence.record import Result
from redgreen.evidence.replayed import CHANGE, CellRow, ReplayRecord
from redgreen.evidence.scrub import GENERIC_PATHS
from redgreen.evidence.summary_first import render_first_format
from redgreen.judge.conclusion import ErrorRow
from redgreen.registry.model import Selector

FORMAT: Final = 2
MOST_ROWS: Final = 40
MOST_LINES: Final = 60  # of the difference of the product, and of that of the tests
LONGEST_LINE: Final = 200


def render_summary(
    result: Result,
    selector: Selector,
    *,
    red: Result | None = None,
    replay: ReplayRecord | None = None,
    change: bytes = b"",
) -> str:
    """Render summary.md in the format that the result names.

    `red` is the result that a GREEN answers, `replay` and `change` what its replay.json and change.patch hold.
    """
    if result.summary_format is None:
        return render_first_format(result, selector)
    fixed = list_fixed(result, red)
    lines = [
        *_render_head(result, replay),
        *_list("Why", result.reasons),
        *_render_fixed(result, fixed),
        *_render_others(result, fixed),
        *_render_change(selector, replay, change),
        *_render_protected(result, selector, red),
        *_render_replay(replay),
        *_render_facts(result, selector),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _render_head(result: Result, replay: ReplayRecord | None) -> list[str]:
    proof = name_proof(result, replay)
    told = " ".join(filter(None, (explain(result), explain_proof(result, replay))))
    title = f"# {result.verdict}{f' · {escape(proof)}' if proof else ''}: {escape(result.selector)}"
    return [f"{title} ({result.mode.name})", "", told, ""]


def _render_fixed(result: Result, fixed: Sequence[Fixed]) -> list[str]:
    if not fixed:
        return []
    if result.mode is RED:
        rows = [row(code(one.id), _tell_error(one.before)) for one in fixed[:MOST_ROWS]]
        return ["## What failed", "", *table(("test", "exception, message, place"), rows), *_more(fixed), ""]
    rows = [row(code(one.id), _tell_error(one.before), _tell_now(one)) for one in fixed[:MOST_ROWS]]
    heads = ("test", "at the RED: exception, message, place", "now")
    return ["## From RED to GREEN", "", *table(heads, rows), *_more(fixed), ""]


def _render_others(result: Result, fixed: tuple[Fixed, ...]) -> list[str]:
    """Name the other tests that did not pass; count those that did."""
    others = list_others(result, fixed)
    passed = sum(test.outcome == "passed" for test in result.tests)
    told = f"{passed} of {count(len(result.tests), 'test')} passed." if result.tests else "No test was reported."
    lines = [told, ""]
    if others:
        rows = [row(code(one.id), f"{one.outcome} ({one.phase})", _tell_error(one.error)) for one in others[:MOST_ROWS]]
        lines += [*table(("other test", "outcome", "exception, message, place"), rows), *_more(others), ""]
    moved = result.transition
    if moved:
        lines += [
            f"Fail to pass: {moved.f2p} of {moved.declared}. Pass to pass: {moved.p2p}; lost: {len(moved.lost)}; "
            f"newly skipped: {len(moved.new_skips)}; added: {len(moved.added)}.",
            "",
            *_list("", [*(f"changed test: {name}" for name in moved.test_changed), *moved.notes]),
        ]
    return lines


def _render_change(selector: Selector, replay: ReplayRecord | None, change: bytes) -> list[str]:
    if not change:
        return []
    sides = divide(split_patch(change), selector, replay)
    lines = ["## The change", ""]
    for title, files in (("Product", sides.product), ("Tests and everything else", sides.tests)):
        told = [f"{file.path}: {count(file.added, 'line')} added, {file.removed} removed" for file in files]
        lines += [f"### {title}", "", *_list("", told)]
        shown = list(_list_lines(files))
        text = "\n".join(shown[:MOST_LINES])
        lines += [*fence(text, "diff"), ""] if shown else ["No file.", ""]
        if len(shown) > MOST_LINES:
            lines += [f"{len(shown) - MOST_LINES} more lines in {code(CHANGE)}.", ""]
    return lines


def _list_lines(files: Sequence[FileDiff]) -> Iterator[str]:
    """List the lines of several files, each under its name; as in every page, without paths of a machine."""
    for file in files:
        for line in (file.path, *file.lines):
            text = GENERIC_PATHS.sub("<path>", line)
            yield text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]}…"


def _render_protected(result: Result, selector: Selector, red: Result | None) -> list[str]:
    if not selector.protects:
        told = "No guard is declared: beside its own tests, nothing was looked at."
        return ["## What was protected", "", told, ""] if result.mode in (RED, GREEN) else []
    rows = [
        row(code(one.name), _tell_passed(one.before), _tell_passed(one.now), one.told)
        if result.mode is GREEN
        else row(code(one.name), _tell_passed(one.now))
        for one in list_protected(result, selector, red)
    ]
    heads = ("guard", "passed at the RED", "passed now", "that is") if result.mode is GREEN else ("guard", "passed")
    return ["## What was protected", "", *table(heads, rows), ""]


def _render_replay(replay: ReplayRecord | None) -> list[str]:
    if replay is None:
        return []
    cells = [row(escape(cell.name), str(cell.processes), _tell_cell(cell)) for cell in replay.cells]
    lines = [
        "## Replay",
        "",
        f"{replay.verdict}: {count(len(replay.fixed), 'test')} fixed, {replay.held} held; "
        f"{replay.processes} processes, {replay.wall_s:.1f} s.",
        "",
        *_list("", replay.reasons),
        *table(("product and tests", "processes", "outcomes"), cells),
        "",
        *_list("", [f"note: {note}" for note in replay.notes]),
        "### Hunks that no test notices",
        "",
    ]
    if not replay.hunks:
        return [*lines, "Not tried.", ""]
    told = f"{len(replay.unwitnessed)} of {len(replay.hunks)} hunks of the product."
    return [*lines, told, "", *_list("", [f"{hunk.file}:{hunk.line}" for hunk in replay.unwitnessed])]


def _render_facts(result: Result, selector: Selector) -> list[str]:
    git, time = result.git, result.time
    version = f"commit `{git.head[:12]}`, tree `{git.tree[:12]}`" if git else "not recorded (scratch)"
    if git and git.dirty:
        version += ", with the uncommitted changes of `worktree.patch`"
    select = " ".join(selector.select) + (f" -k '{selector.k}'" if selector.k else "")
    select += f" -m '{selector.m}'" if selector.m else ""
    rows = [
        row("run", code(result.run_id)),
        row("initiative, phase", f"{escape(result.initiative)}, {escape(result.phase)}"),
        row("selection", code(select)),
        row("tests", count_outcomes(result)),
        row("time", f"{time.pytest_s:.1f} s of pytest, budget {time.budget_s:g} s"),
        row("code", version),
    ]
    if result.pairs_with:
        rows.append(row("answers the RED", code(result.pairs_with.run_id)))
    if result.reads:
        shown = ", ".join(code(name) for name in result.reads[:MOST_ROWS])
        more = f" and {len(result.reads) - MOST_ROWS} more" if len(result.reads) > MOST_ROWS else ""
        rows.append(row("read by the tests, neither product nor test", shown + more))
    if not time.monotonic:
        rows.append(row("clock", "the clock was set while the run went on; durations are by the monotonic clock"))
    if result.artifacts:
        rows.append(row("artifacts", f"{len(result.artifacts)}, in `artifact_audit.md`"))
    logs = [  # the first stands beside the page in the packed form of a folder as well
        row(code(run.label), str(run.rc), f"{run.wall_s:.1f}", code(run.log) if number else link(run.log))
        for number, run in enumerate(result.runs[:MOST_ROWS])
    ]
    return [
        *("## The run", "", *table(("", ""), rows), ""),
        *table(("process", "code", "seconds", "log"), logs),
        "",
        "## How to check it",
        "",
        "In this folder, `redgreen verify .` checks every byte and judges the records again. Without redgreen: "
        "`sha256sum -c MANIFEST.sha256`, where the folder is packed after `redgreen unpack .`.",
        "Notes for people go into NOTES.md.",
    ]


def _tell_error(error: ErrorRow | None) -> str:
    if error is None:
        return "-"
    told = code(f"{error.type} ({error.kind}): {error.message}")
    return f"{told} raised in {escape(error.raised_in)}, {code(error.at)}"


def _tell_now(one: Fixed) -> str:
    failure = one.now.error if one.now else None
    return f"{escape(one.outcome)}: {_tell_error(failure)}" if failure else escape(one.outcome)


def _tell_passed(count: tuple[int, int] | None) -> str:
    return f"{count[0]} of {count[1]}" if count else "not run"


def _tell_cell(cell: CellRow) -> str:
    if cell.problem:
        return code(cell.problem)
    return escape(", ".join(f"{number} {outcome}" for outcome, number in sorted(cell.outcomes.items())) or "no test")


def _list(title: str, items: Sequence[str]) -> list[str]:
    """List texts from outside below a heading, if there are any."""
    head = [f"## {title}", ""] if title and items else []
    return [*head, *(f"- {code(item)}" for item in items[:MOST_ROWS]), *_more(items), *([""] if items else [])]


def _more(items: Sequence[object]) -> list[str]:
    return ["", f"And {len(items) - MOST_ROWS} more in result.json."] if len(items) > MOST_ROWS else []
