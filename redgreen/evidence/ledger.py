"""The ledger: one generated table an initiative; the prose around it is never touched."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Final

from redgreen.codes import GUARD, Verdict
from redgreen.errors import LedgerError, RepositoryError
from redgreen.evidence.folder import hold_lock, parse_stamp, write_whole
from redgreen.evidence.freshness import find_freshness, list_newest, read_head
from redgreen.evidence.guards import GUARDS, GuardLine, Recorded, load_recorded
from redgreen.evidence.markdown import escape, row
from redgreen.evidence.pair import count_outcomes, format_outcomes
from redgreen.evidence.replayed import ReplayRecord
from redgreen.evidence.replays import find_proof, load_replays, locate_replays
from redgreen.evidence.sealed import SealedRun
from redgreen.project import Project
from redgreen.registry.model import Registry

BEGIN: Final = re.compile(r"<!-- redgreen:begin (\S+) \(generated; edit outside\) -->\r?\n?\Z")
END: Final = re.compile(r"<!-- redgreen:end (\S+) -->\r?\n?\Z")
ANY_MARK: Final = re.compile(r"<!--\s*redgreen:(begin|end)\b")
LINK: Final = re.compile(  # to a folder, or to the line of a guard
    r"\| \[(?:folder|line)\]\((?:\.\./)*(?P<reports>(?:[^/()]+/)*reports)/(?:guards\.jsonl#)?"
    r"(?P<stamp>[^/()]+)/(?P<name>[^/()]+)/?\) \| `(?P<seal>[0-9a-f]{12})` \|\Z"
)
PROOF: Final = re.compile(r" · [a-z_]+(?: \(replayed [0-9-]{10}\))?(?= \|)")
FRESH: Final = re.compile(r"^\r?\n?Proofs at `[0-9a-f]+`: .*\r?\n", re.MULTILINE)
HEAD: Final = (
    "| UTC | phase | selector | mode | verdict | tests | lost | time/budget | tree | pairs with | report | seal |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|",
)
EMPTY: Final = "No run is recorded yet."
TITLE: Final = """# Fix plan

What was run, in which phase, and what it showed. The tables are generated from the sealed report folders
(`python -m redgreen ledger --rebuild`); everything around them is written by hand and kept as it is.
"""


def check(project: Project, registry: Registry) -> list[str]:
    """Compare the ledger with the sealed folders and return the differences.

    Raises:
        LedgerError: The ledger is missing or its blocks are broken.
    """
    text = FRESH.sub("", _read(project))  # what holds at HEAD changes with every commit
    wanted = FRESH.sub("", _render(project, registry, text))
    if wanted == text:
        return []
    have, want = read_rows(text), read_rows(wanted)
    problems = [f"{folder}: sealed, and without a row" for folder in want if folder not in have]
    problems += [f"{folder}: has a row, and no sealed folder" for folder in have if folder not in want]
    problems += [
        f"{folder}: the row was edited" for folder, row in have.items() if folder in want and want[folder] != row
    ]
    return problems or ["the generated blocks differ from what the folders and the registry say"]


def rebuild(project: Project, registry: Registry) -> bool:
    """Render every block again from the sealed folders.

    Returns:
        Whether the file changed.

    Raises:
        LedgerError: The blocks are broken.
        ReportError: The file cannot be written.
    """
    with hold_lock(project, project.state / "ledger.lock"):
        text = _read(project, missing_ok=True)
        wanted = _render(project, registry, text)
        if wanted != text:
            write_whole(project, project.ledger, wanted.encode())
        return wanted != text


def add(project: Project, registry: Registry, run: Recorded) -> None:
    """Put the row of one run in its place; every other line stays as it is.

    Raises:
        LedgerError: The blocks are broken.
        ReportError: The file cannot be written.
    """
    with hold_lock(project, project.state / "ledger.lock"):
        text = _read(project, missing_ok=True)
        blocks = _find_blocks(text, project.layout.ledger)
        if run.initiative not in blocks:
            wanted = _render(project, registry, text)
        else:
            first, last = blocks[run.initiative]
            inside = text.splitlines()[first + 1 : last]
            rows = {(*parse_stamp(m["stamp"]), m["name"]): line for line in inside if (m := LINK.search(line))}
            rows[run.key] = render_row(project, run, _load_later(project, run.initiative))
            fresh = [line for line in inside if FRESH.match(f"{line}\n")]
            lines = [*(rows[key] for key in sorted(rows)), *(["", *fresh] if fresh else [])]
            wanted = _replace_block(project, text, run.initiative, lines, registry)
        write_whole(project, project.ledger, wanted.encode())


def read_rows(text: str) -> dict[str, str]:
    """Return the rows of a ledger by the folder that they link to, or that a guard had."""
    return {_name_folder(match): line for line in text.splitlines() if (match := LINK.search(line))}


def read_claims(text: str) -> dict[str, str]:
    """Return what the rows say, whatever form the report is kept in, and whatever later replays have said."""
    return {
        name: PROOF.sub("", LINK.sub(lambda match: f"{_name_folder(match)} {match['seal']}", row), count=1)
        for name, row in read_rows(text).items()
    }


def _name_folder(match: re.Match[str]) -> str:
    return f"{match['reports']}/{match['stamp']}/{match['name']}"


def render_row(project: Project, run: Recorded, later: dict[str, ReplayRecord]) -> str:
    """Render one row of the table; `later` are the newest replays of runs after the fact."""
    reports = _link(project, f"{project.layout.plans}/{run.initiative}/reports")
    if isinstance(run, GuardLine):
        verdict, mode, tests, lost, pair = str(run.verdict), GUARD, format_outcomes(run.outcomes), "-", "-"
        phase, time, git = run.phase, run.time, run.git
        link = f"[line]({reports}/{GUARDS}#{run.folder})"
    else:
        result = run.result
        verdict, mode, tests = _describe_verdict(run, later), result.mode, count_outcomes(result)
        lost = str(len(result.transition.lost)) if result.transition else "-"
        pair = Path(result.pairs_with.folder).parts[-2][11:] if result.pairs_with else "-"
        phase, time, git = result.phase, result.time, result.git
        link = f"[folder]({reports}/{run.stamp}/{run.name}/)"
    cells = [
        escape(run.stamp),
        escape(phase),
        escape(run.selector),
        mode.name,
        escape(verdict),
        escape(tests),
        lost,
        f"{time.pytest_s:.1f}/{time.budget_s:g} s",
        f"{git.tree[:7]}{'*' if git.dirty else ''}" if git else "-",
        pair,
        link,
        f"`{run.short_seal}`",
    ]
    return row(*cells)


def _describe_verdict(run: SealedRun, later: dict[str, ReplayRecord]) -> str:
    result, replayed = run.result, find_proof(run, later)
    verdict = str(result.verdict)
    if result.verdict is Verdict.VALID_RED:
        kinds = sorted({row.error.kind for row in result.tests if row.error and row.id in result.declared})
        return f"{verdict} ({', '.join(kinds)})"
    if replayed is not None:
        when = "" if replayed.seal is None else f" (replayed {replayed.when[:10]})"
        return f"{verdict} · {replayed.verdict.lower()}{when}"
    return f"{verdict} · {result.proof.lower()}" if result.proof else verdict


def _render(project: Project, registry: Registry, text: str) -> str:
    """Render every block from the folders; missing blocks are added at the end."""
    rows: dict[str, dict[tuple[str, int, str], Recorded]] = {name: {} for name in registry.initiatives}
    for run in load_recorded(project):
        rows.setdefault(run.initiative, {})[run.key] = run
    for initiative, runs in rows.items():
        later = _load_later(project, initiative)
        lines = [render_row(project, run, later) for _, run in sorted(runs.items())]
        lines += _render_freshness(project, [run for run in runs.values() if isinstance(run, SealedRun)], later)
        text = _replace_block(project, text or TITLE, initiative, lines, registry)
    return text


def _render_freshness(project: Project, runs: list[SealedRun], later: dict[str, ReplayRecord]) -> list[str]:
    """Say in one line which proofs hold for the files at HEAD."""
    newest = list_newest(runs)
    if not newest:
        return []
    try:
        commit, head = read_head(project)
    except RepositoryError:
        return []
    found = {name: find_freshness(project, run, find_proof(run, later), head) for name, run in sorted(newest.items())}
    told = "; ".join(f"{escape(name)} {escape(str(fresh))}" for name, fresh in found.items())
    return ["", f"Proofs at `{commit}`: {told}."]


def _load_later(project: Project, initiative: str) -> dict[str, ReplayRecord]:
    try:
        return load_replays(project, initiative)
    except ValueError as error:
        raise LedgerError(f"{project.relativize(locate_replays(project, initiative))}: {error}") from None


def _link(project: Project, path: str) -> str:
    """Write a path below the root as seen from the ledger."""
    return posixpath.relpath(path, posixpath.dirname(project.layout.ledger) or ".")


def _replace_block(project: Project, text: str, initiative: str, rows: list[str], registry: Registry) -> str:
    known = registry.initiatives.get(initiative)
    plan = [f"Plan: [{known.plan}]({_link(project, known.plan)})", ""] if known and known.plan else []
    body = [*plan, *((*HEAD, *rows) if rows else (EMPTY,))]
    blocks = _find_blocks(text, project.layout.ledger)
    newline = "\r\n" if "\r\n" in text else "\n"
    block = newline.join(
        (
            f"<!-- redgreen:begin {initiative} (generated; edit outside) -->",
            *body,
            f"<!-- redgreen:end {initiative} -->",
        )
    )
    if initiative not in blocks:
        gap = "" if text.endswith(newline) else newline
        return f"{text}{gap}{newline}## {initiative}{newline}{newline}{block}{newline}"
    lines = text.splitlines(keepends=True)
    first, last = blocks[initiative]
    tail = lines[last][len(lines[last].rstrip("\r\n")) :]
    return "".join(lines[:first]) + block + tail + "".join(lines[last + 1 :])


def _find_blocks(text: str, shown: str) -> dict[str, tuple[int, int]]:
    """Find the first and last line of each generated block.

    Raises:
        LedgerError: A mark is broken, doubled or without its partner; the line is named.
    """
    found: dict[str, tuple[int, int]] = {}
    opened: tuple[str, int] | None = None
    for number, line in enumerate(text.splitlines(keepends=True)):
        if not ANY_MARK.search(line):
            continue
        begin, end = BEGIN.match(line), END.match(line)
        where = f"{shown}:{number + 1}"
        if begin and opened is None and begin[1] not in found:
            opened = begin[1], number
        elif end and opened is not None and end[1] == opened[0]:
            found[end[1]] = opened[1], number
            opened = None
        else:
            raise LedgerError(f"{where}: this redgreen mark is broken, doubled, or has lost its partner")
    if opened is not None:
        raise LedgerError(f"{shown}:{opened[1] + 1}: the block of {opened[0]} has no end")
    return found


def _read(project: Project, *, missing_ok: bool = False) -> str:
    shown = project.layout.ledger
    try:
        return project.ledger.read_bytes().decode("utf-8")
    except FileNotFoundError:
        if missing_ok:
            return ""
        raise LedgerError(f"{shown}: there is no ledger; make it with `redgreen ledger --rebuild`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise LedgerError(f"{shown}: cannot be read as text ({type(error).__name__})") from None
