"""Draft a registry from what pytest collects in a project: a guard for each test file, or for each folder of many."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from redgreen.checks.collection import Collected, collect_suite
from redgreen.checks.remedies import find_remedies, list_plugins
from redgreen.project import Project
from redgreen.registry.model import NAME
from redgreen.run.addons import ADDONS

__all__ = ["Draft", "draft_registry", "make_name"]

MOST_GUARDS: Final = 30  # more files than this are guarded by folder
TEST_FOLDERS: Final = ("tests", "test", "testing")
TRIES: Final = 6  # collections until every plugin that the configuration asks for is found
HEAD: Final = """\
# yaml-language-server: $schema={schema}
# The tests of this project by name. `redgreen lint` compares this file with what pytest collects;
# `redgreen schema` prints the JSON schema of its keys, and the README of redgreen describes them.
schema: 1
defaults:
  budget_s: 60 # seconds of one pytest process
  tests_roots: [{roots}]
{defaults}initiatives:
  {initiative}:
    title: {title}
    active_phase: A
"""
EXAMPLE: Final = """
  # A target is a test that fails now, for the reason written here, and will pass. `redgreen add` writes one:
  # example:
  #   initiative: {initiative}
  #   phase: A
  #   subdir: example
  #   category: tests
  #   select: ["{file}::test_new"]
  #   role: target
  #   red:
  #     accept: [assertion] # or exception, stub (NotImplementedError), missing_symbol
  #     reasons:
  #       - {{type: AssertionError, match: "a regular expression", raised_in: tests}}
"""
GUARD: Final = """
  {name}:
    initiative: {initiative}
    phase: A
    subdir: {name}
    category: tests
    select: [{select}]
"""


@dataclass(slots=True)
class Draft:
    """A drafted registry.

    Attributes:
        text: The file.
        guards: Names of its selectors, with what each selects.
        tests: How many tests pytest collects.
        errors: What pytest cannot collect, with the reason.
        advice: What to do where pytest asks for more than is there.
        plugins: What runs have to load.
    """

    text: str
    guards: dict[str, str]
    tests: int
    errors: dict[str, str]
    advice: list[str]
    plugins: list[str] = field(default_factory=list)


def draft_registry(project: Project, schema: str) -> Draft:
    """Draft a registry; `schema` is where its JSON schema is found.

    Raises:
        RegistryError: Pytest takes too long to collect.
    """
    collected, plugins, folders, advice = _find_needs(project)
    broken = {node.partition("::")[0]: reason for node, reason in collected.errors.items()}
    files = list(dict.fromkeys(nodeid.partition("::")[0] for nodeid in collected.ids))
    files += [file for file in broken if file not in files and (project.root / file).is_file()]
    guards = _name_groups(_group(sorted(files)))
    plugins += [name for name in _find_used(project.root, files) if name not in plugins]
    initiative = re.sub(r"[^A-Z0-9]+", "-", project.root.resolve().name.upper()).strip("-") or "PROJECT"
    lines = [f"  plugins: [{', '.join(plugins)}]\n"] if plugins else []
    lines += [f"  env: {{PYTHONPATH: {':'.join(folders)}}}\n"] if folders else []
    roots = _find_roots(files) or ["tests"]
    text = HEAD.format(
        schema=schema,
        roots=", ".join(map(_quote, roots)),
        defaults="".join(lines),
        initiative=initiative,
        title=_quote(f"work on {project.root.resolve().name}"),
    )
    text += "selectors:\n" + EXAMPLE.format(initiative=initiative, file=(files or ["tests/test_new.py"])[0])
    for name, select in guards.items():
        text += GUARD.format(name=name, initiative=initiative, select=_quote(select))
    return Draft(text, guards, len(collected.ids), broken, advice, plugins)


def make_name(path: str) -> str:
    """Make the name of a selector from the path of a test file or folder."""
    parts = list(PurePosixPath(path).parts)
    if len(parts) > 1 and parts[0] in TEST_FOLDERS:
        del parts[0]
    parts[-1] = re.sub(r"\A(?:test|tests)_|_(?:test|tests)\Z", "", parts[-1].removesuffix(".py"))
    words = [re.sub(r"[^A-Za-z0-9_-]+", "_", part).strip("_-.") for part in parts]
    name = ".".join(word for word in words if word)
    return name if NAME.match(name) else "tests"


def _find_needs(project: Project) -> tuple[Collected, list[str], list[str], list[str]]:
    """Collect, with one plugin or folder after the other that pytest turns out to need, until it needs no more."""
    plugins: list[str] = []
    folders: list[str] = []
    for _ in range(TRIES):
        env = {"PYTHONPATH": ":".join(folders)} if folders else {}
        collected = collect_suite(project, plugins, env)
        remedies = find_remedies(collected.output, project.root)
        more = [one.plugin for one in remedies if one.plugin and one.plugin not in plugins]
        paths = [one.folder for one in remedies if one.folder and one.folder not in folders]
        if not more and not paths:
            break
        plugins += more
        folders += paths
    advice = [one.text for one in remedies if not one.plugin and not one.folder]
    if not collected.whole and not advice:
        advice.append(f"pytest cannot collect the suite: {collected.complaint}")
    return collected, plugins, folders, advice


def _find_used(root: Path, files: Iterable[str]) -> list[str]:
    """Find the installed plugins whose marks or fixtures the tests use: they are needed only once the tests run."""
    texts = [(root / file).read_bytes().decode("utf-8", "replace") for file in files]
    texts += [path.read_bytes().decode("utf-8", "replace") for path in root.glob("**/conftest.py")]
    text = "\n".join(texts)
    marks = {*re.findall(r"\bmark\.(\w+)", text)}
    arguments = {word for inner in texts for word in _find_arguments(inner)}
    switched_off = {addon.name for addon in ADDONS}
    found = []
    for name, source in list_plugins().items():
        own = re.findall(r"[\"'](\w+)\s*(?:\([^\"']*)?:\s", source)
        fixtures = re.findall(r"@pytest\.fixture(?:\([^)]*\))?\s+(?:async )?def (\w+)\(", source)
        fixtures += re.findall(r"^(\w+)\s*=\s*pytest\.fixture", source, re.MULTILINE)
        if name not in switched_off and (marks & {*own} or arguments & {*fixtures}):
            found.append(name)
    return found


def _find_arguments(text: str) -> set[str]:
    """Find the arguments of functions, which may be fixtures."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return set()
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {argument.arg for node in functions for argument in node.args.args}


def _group(files: Sequence[str]) -> list[str]:
    """Choose what the guards select: files, or the deepest folders that are not too many."""
    if len(files) <= MOST_GUARDS:
        return list(files)
    deepest = max(len(PurePosixPath(file).parts) for file in files) - 1
    for depth in range(deepest, 0, -1):
        groups = {_cut(file, depth): None for file in files}
        if len(groups) <= MOST_GUARDS or depth == 1:
            break
    return list(groups)


def _cut(file: str, depth: int) -> str:
    """The folder of a file at some depth; files that lie above it are taken together by a pattern."""
    parts = PurePosixPath(file).parts
    if len(parts) > depth:
        return "/".join(parts[:depth])
    name = parts[-1]
    pattern = "test_*.py" if name.startswith("test_") else "*_test.py" if name.endswith("_test.py") else name
    return "/".join((*parts[:-1], pattern))


def _name_groups(groups: Iterable[str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for group in groups:
        path = str(PurePosixPath(group).parent) if "*" in group else group
        name = make_name(path if path != "." else "tests")
        taken = {each.casefold() for each in named}
        number = 2
        unique = name
        while unique.casefold() in taken:
            unique, number = f"{name}_{number}", number + 1
        named[unique] = group
    return named


def _find_roots(files: Iterable[str]) -> list[str]:
    """Find the folders that hold nothing but tests and their helpers, as far as their names and files tell."""
    roots: list[str] = []
    for file in sorted(files):
        parts = PurePosixPath(file).parts[:-1]
        named = next((number for number, part in enumerate(parts, 1) if part in TEST_FOLDERS), len(parts))
        root = "/".join(parts[:named])
        if root and not any(PurePosixPath(root).is_relative_to(known) for known in roots):
            roots.append(root)
    return roots


def _quote(text: str) -> str:
    """Quote a string: JSON is YAML."""
    return json.dumps(text, ensure_ascii=False)
