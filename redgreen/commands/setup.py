"""Commands about the registry and this machine: lint, docs, doctor."""

from __future__ import annotations

from redgreen.checks import doctor, documents, lint
from redgreen.checks.remedies import find_remedies
from redgreen.codec import to_json
from redgreen.commands.answer import Answer
from redgreen.errors import DocsError, RegistryError
from redgreen.project import Project
from redgreen.registry.load import load_registry


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
    notes += [f"to go on: {remedy}" for remedy in find_remedies(findings.output, project.root)] if problems else []
    values = {"problems": problems, "notes": list(findings.notes), "selectors": counts}
    if problems:
        return Answer(RegistryError.code, RegistryError.label, [*problems, *notes], values)
    live = sum(not selector.planned for selector in registry.selectors.values())
    total = len(registry.selectors)
    closing = (
        f"{total} selectors, {live} live and {total - live} planned; {findings.collected} tests collected: no problem"
    )
    return Answer(0, "LINT_CLEAN", [*notes, closing], values)


def generate_docs(project: Project, *, check: bool) -> Answer:
    """Write the documents that come from the registry, or compare them with it."""
    registry = load_registry(project.root)
    if not documents.render(project, registry):
        told = 'no document is asked for; write into pyproject.toml, below [tool.redgreen.documents]: index = "FILE.md"'
        return Answer(0, "NO_DOCUMENTS", [told], {"different": []})
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
