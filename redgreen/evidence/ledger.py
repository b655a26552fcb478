"""The ledger: one generated table an initiative; the prose around it is never touched."""

from __future__ import annotations

import os
import posixpath
import re
import tempfile
from pathlib import Path
from typing import Final

from redgreen.codes import Verdict
from redgreen.errors import LedgerError
from redgreen.evidence.folder import hold_lock, parse_stamp, translate_errors
from redgreen.evidence.markdown import escape, row
from redgreen.evidence.pair import count_outcomes
from redgreen.evidence.replayed import ReplayRecord
from redgreen.evidence.replays import find_proof, load_replays, locate_replays
from redgreen.evidence.sealed import SealedRun, load_run, load_runs
from redgreen.project import Project
from redgreen.registry.model import Registry

BEGIN: Final = re.compile(r"<!-- redgreen:begin (\S+) \(generated; edit outside\) -->\r?\n?\Z")
END: Final = re.compile(r"<!-- redgreen:end (\S+) -->\r?\n?\Z")
ANY_MARK: Final = re.compile(r"<!--\s*redgreen:(begin|end)\b")
LINK: Final = re.compile(
    r"\| \[folder\]\((?:\.\./)*((?:[^/()]+/)*reports/([^/()]+)/([^/()]+))/\) \| `([0-9a-f]{12})` \|\Z"
)
PROOF: Final = re.compile(r" · [a-z_]+(?: \(replayed [0-9-]{10}\))?(?= \|)")
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
    text = _read(project)
    wanted = _render(project, registry, text)
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
            _replace(project.ledger, wanted)
        return wanted != text


def add(project: Project, registry: Registry, folder: Path) -> None:
    """Put the row of one sealed folder in its place; every other line stays as it is.

    Raises:
        LedgerError: The blocks are broken.
        ReportError: The file cannot be written.
    """
    run = load_run(folder)
    with hold_lock(project, project.state / "ledger.lock"):
        text = _read(project, missing_ok=True)
        blocks = _find_blocks(text, project.layout.ledger)
        if run.initiative not in blocks:
            wanted = _render(project, registry, text)
        else:
            first, last = blocks[run.initiative]
            inside = text.splitlines()[first + 1 : last]
            rows = {(*parse_stamp(m[2]), m[3]): line for line in inside if (m := LINK.search(line))}
            rows[run.key] = render_row(project, run, find_proof(run, _load_later(project, run.initiative)))
            wanted = _replace_block(project, text, run.initiative, [rows[key] for key in sorted(rows)], registry)
        _replace(project.ledger, wanted)


def read_rows(text: str) -> dict[str, str]:
    """Return the rows of a ledger by the folder that they link to."""
    return {match[1]: line for line in text.splitlines() if (match := LINK.search(line))}


def strip_proof(row: str) -> str:
    """Return a row without what a later replay may say otherwise."""
    return PROOF.sub("", row, count=1)


def render_row(project: Project, run: SealedRun, replayed: ReplayRecord | None) -> str:
    """Render one row of the table; `replayed` is the newest replay of the run."""
    result, git = run.result, run.result.git
    verdict = str(result.verdict)
    kinds = sorted({row.error.kind for row in result.tests if row.error and row.id in result.declared})
    if result.verdict is Verdict.VALID_RED:
        verdict += f" ({', '.join(kinds)})"
    elif replayed is not None:
        later = "" if replayed.seal is None else f" (replayed {replayed.when[:10]})"
        verdict += f" · {replayed.verdict.lower()}{later}"
    elif result.proof:
        verdict += f" · {result.proof.lower()}"
    cells = [
        escape(run.stamp),
        escape(result.phase),
        escape(result.selector),
        result.mode.name,
        escape(verdict),
        escape(count_outcomes(result)),
        str(len(result.transition.lost)) if result.transition else "-",
        f"{result.time.pytest_s:.1f}/{result.time.budget_s:g} s",
        f"{git.tree[:7]}{'*' if git.dirty else ''}" if git else "-",
        Path(result.pairs_with.folder).parts[-2][11:] if result.pairs_with else "-",
        f"[folder]({_link(project, project.relativize(run.folder))}/)",
        f"`{run.short_seal}`",
    ]
    return row(*cells)


def _render(project: Project, registry: Registry, text: str) -> str:
    """Render every block from the folders; missing blocks are added at the end."""
    rows: dict[str, list[SealedRun]] = {name: [] for name in registry.initiatives}
    for run in load_runs(project):
        rows.setdefault(run.initiative, []).append(run)
    for initiative, runs in rows.items():
        later = _load_later(project, initiative)
        ordered = sorted(runs, key=lambda run: run.key)
        lines = [render_row(project, run, find_proof(run, later)) for run in ordered]
        text = _replace_block(project, text or TITLE, initiative, lines, registry)
    return text


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
    plan = [f"Plan: [{known.plan}]({_link(project, known.plan)})", ""] if known else []
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


def _replace(path: Path, text: str) -> None:
    with translate_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.stem}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(text.encode("utf-8"))
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(name, path.stat().st_mode & 0o777 if path.exists() else 0o644)
            os.replace(name, path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
