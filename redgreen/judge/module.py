"""One Python file of the tests: what its names stand for, and what code refers to."""

from __future__ import annotations

import ast
import copy
import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Final

__all__ = ["Module", "find_nodes", "find_used", "narrow"]

SHARED_NAMES: Final = ("pytestmark", "setup_module", "teardown_module", "setup_function", "teardown_function")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Module:
    """One Python file: what its names stand for."""

    def __init__(self, path: Path, relative: str) -> None:
        self.path = path
        self.relative = relative
        self.bytes = path.read_bytes()
        self.tree = ast.parse(self.bytes)
        for node in ast.walk(self.tree):
            _drop_docstring(node)
        self._members: dict[ast.AST, dict[str, list[Definition]]] = {}
        self._bare: dict[ast.ClassDef, ast.ClassDef] = {}

    @cached_property
    def sha256(self) -> str:
        """Digest of its bytes."""
        return hashlib.sha256(self.bytes).hexdigest()

    def find_members(self, owner: ast.Module | ast.ClassDef) -> dict[str, list[Definition]]:
        """Find the functions and classes of the module, or of a class in it, by name."""
        if owner not in self._members:  # looked at once: a class may have thousands of tests
            found: dict[str, list[Definition]] = {}
            for node in owner.body:
                if isinstance(node, Definition):
                    found.setdefault(node.name, []).append(node)
            self._members[owner] = found
        return self._members[owner]

    def strip_tests(self, owner: ast.ClassDef) -> ast.ClassDef:
        """Return a class without its tests."""
        if owner not in self._bare:
            bare = copy.copy(owner)
            bare.body = [node for node in owner.body if not _is_test(node)] or [ast.Pass()]
            self._bare[owner] = bare
        return self._bare[owner]

    @cached_property
    def imports(self) -> list[ast.Import | ast.ImportFrom]:
        """Import statements, anywhere in it."""
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.Import | ast.ImportFrom)]

    @property
    def plugins(self) -> list[str]:
        """Modules that `pytest_plugins` names."""
        statements = self.defined.get("pytest_plugins", [])
        values = [node for statement in statements for node in ast.walk(statement) if isinstance(node, ast.Constant)]
        return [value.value for value in values if isinstance(value.value, str)]

    @cached_property
    def defined(self) -> dict[str, list[ast.stmt]]:
        """Top-level statements by the names that they define."""
        found: dict[str, list[ast.stmt]] = {}
        for statement in self.tree.body:
            for name in _find_bound(statement):
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def everywhere(self) -> list[str]:
        """Names that act on every test of the module: autouse fixtures, hooks, marks, xunit setup."""
        return [
            name
            for name, statements in self.defined.items()
            if name in SHARED_NAMES
            or name.startswith("pytest_")
            or any("autouse=True" in ast.unparse(s) for s in statements)
        ]


def _is_test(node: ast.stmt) -> bool:
    return isinstance(node, Definition) and node.name.startswith(("test", "Test"))


def find_nodes(module: Module, names: list[str]) -> list[ast.AST]:
    """Find the test function, and its classes without their other tests; the whole module if it is not there."""
    owner: ast.Module | ast.ClassDef = module.tree
    nodes: list[ast.AST] = []
    for depth, name in enumerate(names, 1):
        named = module.find_members(owner).get(name, [])
        if not named:
            return [module.tree]  # inherited or made at run time: everything counts
        found = named[-1]  # the one that Python keeps
        nodes += named[:-1]
        if depth == len(names) or not isinstance(found, ast.ClassDef):
            nodes.append(found)
            break
        nodes.append(module.strip_tests(found))
        owner = found
    return nodes


def _drop_docstring(node: ast.AST) -> None:
    if isinstance(node, Definition | ast.Module) and node.body:
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body[0:1] = [] if len(node.body) > 1 or isinstance(node, ast.Module) else [ast.Pass()]


def _find_bound(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, Definition):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        for alias in statement.names:
            yield (alias.asname or alias.name).partition(".")[0]
    else:  # assignments, and definitions inside if, try and with
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, Definition):
                yield node.name
            elif isinstance(node, ast.alias):
                yield (node.asname or node.name).partition(".")[0]


def narrow(statement: ast.stmt, name: str) -> ast.stmt:
    """Reduce an import of several names to the one that is used."""
    if not isinstance(statement, ast.Import | ast.ImportFrom):
        return statement
    chosen = [alias for alias in statement.names if (alias.asname or alias.name).partition(".")[0] == name]
    narrowed = copy.copy(statement)
    narrowed.names = chosen or statement.names
    return narrowed


def find_used(node: ast.AST) -> set[str]:
    """Names that code refers to: variables, arguments (fixtures), and texts (usefixtures, getfixturevalue)."""
    used: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            used.add(inner.id)
        elif isinstance(inner, ast.arg):
            used.add(inner.arg)
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str) and inner.value.isidentifier():
            used.add(inner.value)
    return used
