"""Check whether this machine and this repository can record runs."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import tempfile
from dataclasses import dataclass

from redgreen.checks.remedies import is_installed
from redgreen.errors import RedgreenError, ReportError
from redgreen.evidence.abandoned import find_unfinished
from redgreen.gitrepo import git, take_snapshot
from redgreen.project import Project
from redgreen.registry.load import load_registry


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `code` is the exit code that a run would end with because of it."""

    subject: str
    good: bool
    finding: str
    code: int = 0


def examine(project: Project) -> list[Finding]:
    """Check the interpreter, pytest and its plugins, git, the registry, the report folders and unfinished runs."""
    rows = [
        Finding("python", sys.version_info >= (3, 11), platform.python_version(), 30),
        Finding("pytest", True, importlib.metadata.version("pytest")),
        _check_git(project),
    ]
    try:
        registry = load_registry(project.root)
    except RedgreenError as error:
        rows.append(Finding("registry", False, str(error), error.code))
    else:
        rows.append(Finding("registry", True, f"{len(registry.selectors)} selectors"))
        plugins = sorted({name for selector in registry.selectors.values() for name in selector.plugins})
        for name in plugins:
            there = is_installed(name)
            rows.append(Finding("plugin", there, name if there else f"{name} cannot be imported", 48))
    rows.append(_check_writable(project))
    left = [project.relativize(folder) for folder, alive in find_unfinished(project) if not alive]
    told = f"{len(left)} unfinished, first {left[0]}: run `python -m redgreen close`" if left else "none unfinished"
    rows.append(Finding("runs", not left, told, 56))
    return rows


def _check_git(project: Project) -> Finding:
    try:
        version = git(project.root, "--version").decode().strip()
        code = take_snapshot(project.root, project.layout.evidence).revision
    except RedgreenError as error:
        return Finding("git", False, str(error), error.code)
    where = f"on {code.branch}" if code.branch else "detached"
    return Finding("git", True, f"{version}, {where}, {'with' if code.dirty else 'without'} uncommitted changes")


def _check_writable(project: Project) -> Finding:
    folder = next(path for path in (project.base, *project.base.parents) if path.is_dir())
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            return Finding("reports", True, f"{project.relativize(project.base)} can be written")
    except OSError as error:
        return Finding("reports", False, f"{project.relativize(folder)}: {error.strerror}", ReportError.code)
