"""The documents that come from the registry, where the project wants them: the test suite index, the selector map."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterable
from typing import Final

from redgreen.evidence.folder import translate_errors, write_text
from redgreen.project import Project
from redgreen.registry.layout import Layout
from redgreen.registry.model import Registry, Selector

NOTICE: Final = "<!-- Generated from {} by `python -m redgreen docs`; edit the registry instead. -->"


def render(project: Project, registry: Registry) -> dict[str, str]:
    """Render each document that the project wants by its path."""
    layout = project.layout
    texts = {layout.index: _render_index(layout, registry), layout.selector_map: _render_map(registry)}
    return {path: text for path, text in texts.items() if path}


def find_outdated(project: Project, registry: Registry) -> list[str]:
    """Find the documents that differ from what the registry gives."""
    found = []
    for name, text in render(project, registry).items():
        path = project.root / name
        if not path.is_file() or path.read_bytes() != text.encode():
            found.append(name)
    return found


def write(project: Project, registry: Registry, names: Iterable[str]) -> None:
    """Write some of the documents.

    Raises:
        ReportError: A file cannot be written.
    """
    texts = render(project, registry)
    for name in names:
        with translate_errors(project.root / name):
            (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(project.root / name, texts[name])


def command(selector: Selector) -> str:
    """Format the plain pytest command that selects the same tests, with the variables that the registry sets."""
    env = " ".join(f"{name}={shlex.quote(value)}" for name, value in sorted(selector.env.items()))
    words = ["pytest", *selector.select]
    words += ["-k", selector.k] if selector.k else []
    words += ["-m", selector.m] if selector.m else []
    return f"{env} {shlex.join([*words, *selector.pytest_args])}".strip()


def _render_index(layout: Layout, registry: Registry) -> str:
    def link(path: str) -> str:
        return posixpath.relpath(path, posixpath.dirname(layout.index) or ".")

    commands = ""
    if layout.selector_map:
        commands = f"; the exact commands are in the [selector map]({link(layout.selector_map)})"
    lines = [
        NOTICE.format(registry.file),
        "",
        "# Test suite index",
        "",
        f"Every named selection of tests, by initiative and category{commands}.",
        "`planned` means that the tests come with later work: such an entry cannot be run and cannot claim a result.",
        "",
    ]
    for initiative in registry.initiatives.values():
        selectors = registry.of(initiative.name)
        title = f": {initiative.title}" if initiative.title else ""
        lines += [f"## {initiative.name}{title}", ""]
        plan = f"Plan: [{initiative.plan}]({link(initiative.plan)}). " if initiative.plan else ""
        lines += [f"{plan}Active phase: {initiative.active_phase or 'none'}.", ""]
        if not selectors:
            lines += ["No selector yet.", ""]
            continue
        lines += [
            "| category | selector | what it shows | tests | role | state | budget |",
            "|---|---|---|---|---|---|---|",
        ]
        for selector in selectors:
            lines.append(
                f"| {selector.category} | `{selector.name}` | {selector.title or '-'} | {selector.count} "
                f"| {selector.role} | {selector.state} | {selector.budget_s:g} s |"
            )
        lines.append("")
    lines += ["## Test modules", "", "| module or folder | selectors |", "|---|---|"]
    modules: dict[str, list[str]] = {}
    for selector in registry.selectors.values():
        for part in selector.select:
            names = modules.setdefault(part.partition("::")[0], [])
            if f"`{selector.name}`" not in names:
                names.append(f"`{selector.name}`")
    lines += [f"| `{module}` | {', '.join(names)} |" for module, names in sorted(modules.items())]
    return "\n".join(lines) + "\n"


def _render_map(registry: Registry) -> str:
    live = sum(not selector.planned for selector in registry.selectors.values())
    lines = [
        NOTICE.format(registry.file),
        "",
        "# Selector map",
        "",
        f"{len(registry.selectors)} selectors, {live} live. For each: the runner's command, which records evidence,",
        "and the plain pytest command, which selects the same tests and records nothing.",
        "",
    ]
    for initiative in registry.initiatives.values():
        lines += [f"## {initiative.name}", ""]
        for selector in registry.of(initiative.name):
            lines += _render_entry(selector)
    return "\n".join(lines).rstrip("\n") + "\n"


def _render_entry(selector: Selector) -> list[str]:
    verb = "run red|green" if selector.role == "target" else "guard"
    lines = [f"### `{selector.name}`", ""]
    lines += [selector.title, ""] if selector.title else []
    lines += [
        f"- category {selector.category}, phase {selector.phase}, {selector.role}, {selector.state}",
        f"- expects {selector.count} tests within {selector.budget_s:g} s, "
        f"at most {selector.max_skipped} skipped and {selector.max_xfailed} xfailed",
        f"- record: `python -m redgreen {verb} {selector.name}`",
        f"- plain: `{command(selector)}`",
    ]
    if selector.plugins:
        lines.append(f"- plugins: {', '.join(f'`{plugin}`' for plugin in selector.plugins)}")
    if selector.role == "target":
        lines.append(f"- logs: `{selector.log_red}`, then `{selector.log_green}`, in `{selector.subdir}/`")
    else:
        lines.append(f"- log: `{selector.log_guard}` in `{selector.subdir}/`")
    if selector.red:
        for rule in selector.red.reasons:
            which = "every test" if rule.tests == "*" else f"`{rule.tests}`"
            lines.append(f"- RED: {which} fails with `{rule.type}` matching `{rule.match}`, raised in {rule.raised_in}")
    if selector.protects:
        lines.append(f"- protects: {', '.join(f'`{name}`' for name in selector.protects)}")
    lines += [f"- leaves: {a.min_count} or more `{a.glob}` of at least {a.min_bytes} bytes" for a in selector.artifacts]
    return [*lines, ""]
