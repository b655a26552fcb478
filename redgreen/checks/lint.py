"""Check the registry against what pytest really collects."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from redgreen.checks.collection import Collected, Query, collect
from redgreen.errors import Problem
from redgreen.evidence.folder import write_json
from redgreen.judge.verdict import is_named_by
from redgreen.project import Project
from redgreen.registry.model import Registry, Selector, covers, names_everything

ANYTHING: Final = ("\n", "?", "assert", "assert x == y", "assert False")  # what messages of any failure hold
DRIFT: Final = "frozen ids"  # in the message of a problem that freezing again removes


@dataclass(slots=True)
class Findings:
    """What lint found: problems, harmless notes, the tests of each live selector, and what pytest printed."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    chosen: dict[str, tuple[str, ...]] = field(default_factory=dict)
    collected: int = 0
    output: str = ""


def lint(project: Project, registry: Registry) -> Findings:
    """Check every live selector against one collection of the whole suite.

    Raises:
        RegistryError: Pytest cannot collect at all.
    """
    collected = collect(project, registry)
    findings = Findings(collected=len(collected.ids), output=collected.output)
    for node, reason in collected.errors.items():
        findings.problems.append(Problem(node.partition("::")[0], 0, f"pytest cannot collect this file: {reason}"))
    for selector in registry.selectors.values():
        query, where = collected.queries[selector.name], f"selectors.{selector.name}"
        for message in _find_problems(registry, selector, query):
            findings.problems.append(Problem(registry.file, selector.line, f"{where}: {message}"))
        for message in _find_notes(registry, selector, query):
            findings.notes.append(f"{registry.file}:{selector.line}: {where}: {message}")
        if not selector.planned:
            findings.chosen[selector.name] = query.ids
    findings.problems += _check_plans(project, registry)
    findings.problems += _check_overlap(registry, collected)
    findings.problems += _check_unregistered(registry, collected)
    return findings


def freeze(project: Project, registry: Registry, findings: Findings) -> None:
    """Write the exact ids of every live target, so that a RED or GREEN of other ids cannot pass.

    Raises:
        ReportError: The file cannot be written.
    """
    targets = [s.name for s in registry.selectors.values() if s.role == "target" and not s.planned]
    frozen = {name: sorted(findings.chosen[name]) for name in targets}
    write_json(project.root / project.layout.lock, {"schema": 1, "selectors": frozen})


def _find_problems(registry: Registry, selector: Selector, query: Query) -> Iterator[str]:
    """Say what is wrong with the selection; a planned selector need not select anything yet."""
    if query.error:
        yield f"-k or -m is not an expression: {query.error}"
    elif not query.ids and not selector.planned:
        yield f"selects no test ({' '.join(selector.select)}); was it renamed?"
    elif not selector.planned:
        yield from _compare(registry, selector, query)


def _compare(registry: Registry, selector: Selector, query: Query) -> Iterator[str]:
    """Compare what is selected with what is declared."""
    chosen = set(query.ids)
    for part in selector.select:
        if "::" in part and not any(covers(part, nodeid) for nodeid in chosen):
            yield f"'{part}' selects no test; was it renamed?"
    if not selector.count.allows(len(query.ids)):
        yield f"selects {len(query.ids)} tests, the registry says {selector.count}"
    frozen = set(registry.frozen.get(selector.name, chosen))
    if frozen != chosen:
        gone, new = len(frozen - chosen), len(chosen - frozen)
        yield f"the {DRIFT} are out of date ({gone} gone, {new} new); run `redgreen lint --freeze`"
    if (selector.k or selector.m) and query.inside == len(query.ids) > 1:
        yield f"-k or -m is over-broad: it leaves none of the {len(query.ids)} tests out"
    for glob in filter(names_everything, selector.product):
        yield f"product '{glob}' names every file; name the folders of the code under test"
    for rule in selector.red.reasons if selector.red else ():
        if met := next((text for text in ANYTHING if re.search(rule.match, text)), None):
            yield f"the reason '{rule.match}' is none: it matches any failure, such as {met!r}; name what is expected"
        if not any(is_named_by(rule, nodeid) for nodeid in chosen):
            yield f"the reason for '{rule.tests}' names none of the selected tests"


def _find_notes(registry: Registry, selector: Selector, query: Query) -> Iterator[str]:
    """Say what could be declared differently."""
    if not selector.planned:
        planned = [guard for guard in selector.protects if registry.selectors[guard].planned]
        yield from (f"protects {guard}, which is planned and protects nothing yet" for guard in planned)
    elif len(query.ids) >= selector.count.minimum and all(
        any(covers(part, nodeid) for nodeid in query.ids) for part in selector.select
    ):
        yield f"is planned, and its {len(query.ids)} tests are there; make it live?"


def _check_plans(project: Project, registry: Registry) -> list[Problem]:
    problems = []
    for initiative in registry.initiatives.values():
        where = f"initiatives.{initiative.name}"
        if initiative.plan and not (project.root / initiative.plan).is_file():
            problems.append(Problem(registry.file, initiative.line, f"{where}: the plan {initiative.plan} is missing"))
        phases = {selector.phase for selector in registry.of(initiative.name)}
        if initiative.active_phase and initiative.active_phase not in phases:
            message = f"{where}.active_phase: no selector is of phase '{initiative.active_phase}'"
            problems.append(Problem(registry.file, initiative.line, message))
    return problems


def _check_overlap(registry: Registry, collected: Collected) -> list[Problem]:
    """Two live targets must not claim the same test: its RED would be recorded twice."""
    owner: dict[str, str] = {}
    problems = []
    for selector in registry.selectors.values():
        if selector.planned or selector.role != "target":
            continue
        chosen = collected.queries[selector.name].ids
        shared = [nodeid for nodeid in chosen if nodeid in owner]
        if shared:
            message = (
                f"selectors.{selector.name}: overlaps with {owner[shared[0]]} ({len(shared)} tests, first {shared[0]})"
            )
            problems.append(Problem(registry.file, selector.line, message))
        owner.update(dict.fromkeys(chosen, selector.name))
    return problems


def _check_unregistered(registry: Registry, collected: Collected) -> list[Problem]:
    covered = {nodeid for query in collected.queries.values() for nodeid in query.ids}
    files: dict[str, int] = {}
    for nodeid in collected.ids:
        file = nodeid.partition("::")[0]
        if nodeid not in covered and not any(fnmatch.fnmatchcase(file, glob) for glob in registry.ignored):
            files[file] = files.get(file, 0) + 1
    return [Problem(file, 0, f"{number} tests that no selector covers") for file, number in files.items()]
