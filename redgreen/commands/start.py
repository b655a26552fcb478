"""Commands that begin: write a registry, add a target to it, print its schema."""

from __future__ import annotations

import os
import shlex
import tempfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from redgreen.checks.draft import Draft, draft_registry
from redgreen.checks.entries import Look, Reason, add_target, look_once, propose
from redgreen.checks.remedies import find_remedies
from redgreen.codes import Verdict
from redgreen.commands.answer import Answer
from redgreen.errors import RegistryError, RepositoryError
from redgreen.evidence.folder import translate_errors
from redgreen.gitrepo import git
from redgreen.project import Project
from redgreen.registry.load import load_registry
from redgreen.registry.schema import load_example, make_schema, render_schema

__all__ = ["add", "init", "print_schema"]

MARKS = (
    "{plans}/*/reports/** -text -diff linguist-generated=true",
    "{plans}/*/reports export-ignore",
    "{plans}/*/reports/*.jsonl merge=union",
)


def init(project: Project) -> Answer:
    """Write a registry of what pytest collects; nothing that is there is written over."""
    name = project.layout.registry
    path = project.root / name
    if path.exists():
        raise RegistryError(f"{name}: is there already; `redgreen add NAME TEST` adds to it, `redgreen lint` checks it")
    schema = path.with_suffix(".schema.json")
    draft = draft_registry(project, schema.name)
    if not schema.exists():
        _write_new(schema, render_schema())
    _write_new(path, draft.text)
    values = {
        "registry": name,
        "guards": draft.guards,
        "tests": draft.tests,
        "uncollected": draft.errors,
        "plugins": draft.plugins,
        "advice": draft.advice,
    }
    return Answer(0, "REGISTRY_WRITTEN", _describe(project, draft), values, name)


def _write_new(path: Path, text: str) -> None:
    """Write a file that must not be there.

    Raises:
        RegistryError: It is there meanwhile.
        ReportError: It cannot be written.
    """
    with translate_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".redgreen-", suffix=".tmp") as stream:
            stream.write(text.encode())
            stream.flush()
            os.chmod(stream.name, 0o644)
            try:
                os.link(stream.name, path)  # unlike a rename it takes no other file's place
            except FileExistsError:
                raise RegistryError(f"{path.name}: is there already") from None


def _describe(project: Project, draft: Draft) -> list[str]:
    layout = project.layout
    lines = [f"{layout.registry}: written; {len(draft.guards)} guards of {draft.tests} tests"]
    lines += [f"  {name:20}  {select}" for name, select in draft.guards.items()]
    if draft.plugins:
        lines.append(f"plugins that runs load: {', '.join(draft.plugins)}")
    lines += [f"cannot be collected: {file}: {reason}" for file, reason in draft.errors.items()]
    lines += [f"note: {advice}" for advice in draft.advice]
    if not draft.guards and not draft.advice:
        lines.append("note: pytest collects no test here; `testpaths` of its configuration says where it looks")
    first = next(iter(draft.guards), "")
    steps = [*_find_git_steps(project)]
    steps += ["into .gitattributes, so that git keeps reports as they are:"]
    steps += [f"    {mark.format(plans=layout.plans)}" for mark in MARKS]
    if first:
        steps += [f"python -m redgreen guard {first}      # the first evidence: everything in it passes"]
    steps += [
        "write a test that fails, then: python -m redgreen add NAME tests/test_x.py::test_y",
        "python -m redgreen run red NAME; write the code; python -m redgreen run green NAME; commit",
        "nothing is needed in .gitignore: .redgreen/ ignores itself",
    ]
    return [*lines, "", "next:", *(f"  {step}" for step in steps)]


def _find_git_steps(project: Project) -> list[str]:
    try:
        git(project.root, "rev-parse", "--git-dir")
    except RepositoryError:
        return ["git init; git add -A; git commit -m first      # a run names the commit that it tested"]
    try:
        git(project.root, "rev-parse", "--verify", "HEAD^{commit}")
    except RepositoryError:
        return ["git add -A; git commit -m first      # a run names the commit that it tested"]
    return [f"git add {project.layout.registry}; git commit -m 'the tests by name'"]


def add(project: Project, arguments: Namespace, show: Callable[[bytes], object]) -> Answer:
    """Add a target; without its reason: look once at how its tests fail, and propose one."""
    name, tests, product = arguments.name, tuple(arguments.test), tuple(arguments.product)
    if arguments.type and arguments.match:
        reason = Reason(arguments.type, arguments.match, arguments.raised_in)
        entry = add_target(project, name, tests, reason, product, arguments.initiative)
        load_registry(project.root)
        lines = [f"{project.layout.registry}: added", *(f"  {line}" for line in entry.splitlines())]
        if reason.kind in ("stub", "missing_symbol"):
            lines.append(f"note: a failure of class {reason.kind} shows that code is missing, and not that the test")
            lines.append("      can tell working code from broken code")
        lines += ["", f"next: python -m redgreen run red {name}"]
        return Answer(0, "TARGET_ADDED", lines, {"entry": entry}, project.layout.registry)
    if arguments.type or arguments.match:
        raise RegistryError("a reason needs both --type and --match; without both, the tests are run once to see it")
    output: list[bytes] = []

    def keep(chunk: bytes) -> None:
        show(chunk)
        output.append(chunk)

    look = look_once(project, name, tests, product, keep)
    remedies = [str(each) for each in find_remedies(b"".join(output).decode("utf-8", "replace"), project.root)]
    return _describe_look(name, tests, product, look, remedies)


def _describe_look(
    name: str, tests: tuple[str, ...], product: tuple[str, ...], look: Look, remedies: list[str]
) -> Answer:
    judgement = look.judgement
    if judgement.verdict is Verdict.GUARD_HELD:
        lines = ["", "every test passes now: there is no RED to declare; is it the right test?"]
        return Answer(Verdict.NOTHING_FAILED.exit_code, Verdict.NOTHING_FAILED, lines)
    failures = {each.id: each.failure for each in look.evidence.tests.values() if each.outcome == "failed"}
    reasons = list(dict.fromkeys(propose(each, look.selector) for each in failures.values() if each))
    if judgement.verdict is not Verdict.GUARD_BROKEN or not reasons:
        lines = ["", f"{judgement.verdict}", *(f"  {line}" for line in judgement.reasons[:20])]
        lines += [f"  to go on: {line}" for line in remedies]
        return Answer(judgement.verdict.exit_code, judgement.verdict, lines)
    reason = reasons[0]
    words = ["python", "-m", "redgreen", "add", name, *tests, "--type", reason.type, "--match", reason.match]
    words += [] if reason.raised_in == "tests" else ["--raised-in", reason.raised_in]
    words += [word for glob in product for word in ("--product", glob)]
    lines = ["", "nothing was recorded; the tests fail now like this:"]
    lines += [
        f"  {nodeid}: {each.type}: {(each.message.strip().splitlines() or [''])[0]}"
        for nodeid, each in failures.items()
        if each
    ]
    lines += ["if that is the reason you mean, declare it (or a narrower one):", f"  {shlex.join(words)}"]
    return Answer(0, "REASON_SEEN", lines, {"type": reason.type, "match": reason.match, "raised_in": reason.raised_in})


def print_schema(*, example: bool) -> Answer:
    """Print the JSON schema of the registry, or an example of one."""
    if example:
        return Answer(0, "EXAMPLE", [load_example().rstrip()], {"example": load_example()})
    return Answer(0, "SCHEMA", [render_schema().rstrip()], {"schema": make_schema()})
