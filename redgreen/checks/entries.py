"""Write a target into the registry, and look once at how its tests fail now, so that the reason can be declared."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from redgreen.codes import GUARD
from redgreen.errors import RegistryError
from redgreen.evidence.folder import write_whole
from redgreen.evidence.scrub import Scrubber
from redgreen.judge.events import Evidence, Failure
from redgreen.judge.verdict import Judgement, find_place, judge
from redgreen.project import Project
from redgreen.registry.fields import suggest
from redgreen.registry.load import parse_registry, read_registry
from redgreen.registry.model import Registry, Selector
from redgreen.run.launch import Launcher, Session

__all__ = ["Look", "Reason", "add_target", "look_once", "propose"]

OPENING: Final = re.compile(r"selectors:[ \t]*(?:\{\s*\}|null|~)?[ \t]*(?:#.*)?\r?\n?\Z")
CHANGING: Final = re.compile(r"0x[0-9a-f]+|/[^\s'\"]*")  # addresses and paths differ from run to run
LONGEST: Final = 80
ANY_REASON: Final = "Exception"


@dataclass(frozen=True, slots=True)
class Reason:
    """A declared reason: exception, expression that its message must match, and where it is raised."""

    type: str
    match: str
    raised_in: str = "tests"

    @property
    def kind(self) -> str:
        """Class of failure that the exception belongs to."""
        return Failure(self.type, "", (), "", "", 0, inside=True, hidden=()).kind


@dataclass(frozen=True, slots=True)
class Look:
    """How the tests of a selector ended in one process of which nothing is kept."""

    selector: Selector
    evidence: Evidence
    judgement: Judgement


def add_target(
    project: Project,
    name: str,
    tests: Sequence[str],
    reason: Reason,
    product: Sequence[str] = (),
    initiative: str = "",
) -> str:
    """Append a target to the registry and return the text of its entry.

    Raises:
        RegistryError: The name is taken, or the registry would be wrong.
        ReportError: The file cannot be written.
    """
    text, entry = _insert(project, name, tests, reason, product, initiative)
    parse_registry(text.encode(), project.layout.registry)
    write_whole(project, project.root / project.layout.registry, text.encode())
    return entry


def look_once(
    project: Project, name: str, tests: Sequence[str], product: Sequence[str], show: Callable[[bytes], object]
) -> Look:
    """Run the tests once as a target would, and keep nothing.

    Raises:
        RegistryError: No such target can be written.
    """
    text, _ = _insert(project, name, tests, Reason(ANY_REASON, "."), product, "")
    registry = parse_registry(text.encode(), project.layout.registry)
    selector = registry.selectors[name]
    session = Session(project, registry, show)
    with tempfile.TemporaryDirectory(prefix="rg-", ignore_cleanup_errors=True) as folder, session.interrupts:
        kept = Path(folder) / "kept"
        kept.mkdir()
        scrubber = Scrubber(project.root, session.environ, selector.pass_env)
        launcher = Launcher(session, kept, f"look-{Path(folder).name}", scrubber)
        attempt = launcher.launch(selector, label="main", log="look.log", tmp=Path(folder) / "1")
    return Look(selector, attempt.evidence, judge(attempt.evidence, replace(selector, red=None), GUARD))


def propose(failure: Failure, selector: Selector) -> Reason:
    """Propose the reason that a failure would meet; its author narrows it down."""
    lines = failure.message.strip().splitlines()
    match = re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", lines[0][:LONGEST]).strip() if lines else "^$"
    place = find_place(failure, selector)
    return Reason(failure.type, CHANGING.sub(".*", match), place if place != "elsewhere" else "product")


def _insert(
    project: Project, name: str, tests: Sequence[str], reason: Reason, product: Sequence[str], initiative: str
) -> tuple[str, str]:
    """Put an entry at the end of the selectors; return the whole text, and the entry."""
    file = project.layout.registry
    text = read_registry(project.root, file).decode("utf-8", "replace")
    lines = text.splitlines(keepends=True)
    start = next((number for number, line in enumerate(lines) if OPENING.match(line)), None)
    if start is None:
        raise RegistryError(f"{file}: no line `selectors:` of its own, so that no entry can be added; write it by hand")
    entries = _find_entries(lines, start)
    end = entries[-1] + 1 if entries else start + 1
    written = [line for line in (lines[number] for number in entries) if not line.lstrip().startswith("#")]
    pad = written[0][: len(written[0]) - len(written[0].lstrip())] if written else "  "
    entry = _render(name, tests, reason, product, _find_place(project, text, initiative, empty=not written))
    added = ["\n", *(f"{pad}{line}\n" for line in entry.splitlines())]
    opening = re.sub(r":[^#\r\n]*?(?=\s*(?:#|$))", ":", lines[start], count=1)
    return "".join([*lines[:start], opening, *lines[start + 1 : end], *added, *lines[end:]]), entry


def _find_entries(lines: Sequence[str], start: int) -> list[int]:
    """Find the lines below the opening one that are indented: entries, and comments among them."""
    found = []
    for number in range(start + 1, len(lines)):
        if lines[number].strip() and lines[number][0] not in " \t#":
            break
        if lines[number].strip() and lines[number][0] != "#":
            found.append(number)
    return found


def _find_place(project: Project, text: str, initiative: str, *, empty: bool) -> tuple[str, str]:
    """Find the initiative and its phase."""
    known = _read(project, text, empty=empty).initiatives
    if initiative and initiative not in known:
        told = f"no initiative is called '{initiative}'{suggest(initiative, known)}"
        raise RegistryError(f"{project.layout.registry}: {told}")
    active = [one.name for one in known.values() if one.active_phase]
    chosen = initiative or (active or list(known))[0]
    return chosen, known[chosen].active_phase or "A"


def _read(project: Project, text: str, *, empty: bool) -> Registry:
    """Read the registry; one without a selector gets one for the time of reading."""
    if not empty:
        return parse_registry(text.encode(), project.layout.registry)
    first = re.search(r"^initiatives:\s*\n(?:\s*#.*\n)*[ \t]+([\w.-]+):", text, re.MULTILINE)
    if first is None:
        raise RegistryError(f"{project.layout.registry}: no initiative is declared; write one below `initiatives:`")
    stand_in = f"selectors: {{x: {{initiative: {first[1]}, phase: A, category: x, select: [x]}}}}"
    whole = re.sub(r"^selectors:.*$", lambda _: stand_in, text, flags=re.MULTILINE)
    return parse_registry(whole.encode(), project.layout.registry)


def _render(name: str, tests: Sequence[str], reason: Reason, product: Sequence[str], place: tuple[str, str]) -> str:
    def quote(values: Sequence[str]) -> str:
        return json.dumps(list(values), ensure_ascii=False)

    match = "'" + reason.match.replace("'", "''") + "'"  # in single quotes YAML leaves backslashes alone
    lines = [
        f"{name}:",
        f"  initiative: {place[0]}",
        f"  phase: {place[1]}",
        f"  subdir: {name}",
        "  category: tests",
        f"  select: {quote(tests)}",
        "  role: target",
        *([f"  product: {quote(product)}"] if product else []),
        "  red:",
        f"    accept: [{reason.kind}]",
        f"    reasons: [{{type: {reason.type}, match: {match}, raised_in: {reason.raised_in}}}]",
    ]
    return "\n".join(lines)
