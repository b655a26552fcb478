"""Identity of a test in three levels: bytes of its file; its code with what it uses; conftest and configuration.

The second level is the source of the test, its class, and every helper, fixture, constant and local test module that
it reaches by name, without comments, layout and docstrings. Autouse fixtures and hooks reach every test, as do the
modules that `pytest_plugins` names. Helpers that the registry lists as `test_support` are left out: they are allowed to
change between RED and GREEN.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

VERSION: Final = 2  # of the rules below; identities that were taken by other rules cannot be compared
CONFIGS: Final = ("pytest.ini", "pytest.toml", ".pytest.toml", ".pytest.ini", "tox.ini", "setup.cfg")
SHARED_NAMES: Final = ("pytestmark", "setup_module", "teardown_module", "setup_function", "teardown_function")
MODULE_ENDS: Final = (".py", "/__init__.py")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Identity:
    """Digests of a test's file, of its code, and of conftest and configuration."""

    file: str
    ast: str
    support: str


def identify(root: Path, nodeids: Iterable[str], test_support: Iterable[str] = ()) -> dict[str, Identity]:
    """Identify tests; a file that is not Python has the digest of its bytes for `ast`.

    `test_support` names helpers (`file::name`) or whole files that are no part of a test's identity.
    """
    reader = _Reader(root, frozenset(test_support))
    return {nodeid: reader.identify(nodeid) for nodeid in nodeids}


def _hash(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


class _Module:
    """One Python file: what its names stand for."""

    def __init__(self, path: Path, relative: str) -> None:
        self.path = path
        self.relative = relative
        self.bytes = path.read_bytes()
        self.tree = ast.parse(self.bytes)
        for node in ast.walk(self.tree):
            _drop_docstring(node)

    @cached_property
    def imports(self) -> list[ast.Import | ast.ImportFrom]:
        """Import statements, anywhere in it."""
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.Import | ast.ImportFrom)]

    @property
    def is_test_code(self) -> bool:
        """Whether it is in a folder of tests."""
        return not {"tests", "test", "testing"}.isdisjoint(Path(self.relative).parts[:-1])

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


def _find_nodes(module: _Module, names: list[str]) -> list[ast.AST]:
    """Find the test function, and its classes without their other tests; the whole module if it is not there."""
    body: list[ast.stmt] = module.tree.body
    nodes: list[ast.AST] = []
    for depth, name in enumerate(names, 1):
        named = [node for node in body if isinstance(node, Definition) and node.name == name]
        if not named:
            return [module.tree]  # inherited or made at run time: everything counts
        found = named[-1]  # the one that Python keeps
        nodes += named[:-1]
        if depth == len(names) or not isinstance(found, ast.ClassDef):
            nodes.append(found)
            break
        others = [
            node for node in found.body if isinstance(node, Definition) and node.name.startswith(("test", "Test"))
        ]
        body, found = found.body, copy.copy(found)
        found.body = [node for node in body if node not in others] or [ast.Pass()]
        nodes.append(found)
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


def _narrow(statement: ast.stmt, name: str) -> ast.stmt:
    """Reduce an import of several names to the one that is used."""
    if not isinstance(statement, ast.Import | ast.ImportFrom):
        return statement
    chosen = [alias for alias in statement.names if (alias.asname or alias.name).partition(".")[0] == name]
    narrowed = copy.copy(statement)
    narrowed.names = chosen or statement.names
    return narrowed


def _find_used(node: ast.AST) -> set[str]:
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


class _Reader:
    def __init__(self, root: Path, support: frozenset[str]) -> None:
        self.root = root
        self.left_out = support
        self.modules: dict[Path, _Module | None] = {}
        self.known: dict[str, Identity] = {}
        self.supports: dict[str, str] = {}
        self.config = ""
        try:
            config = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
            pytest = config.get("tool", {}).get("pytest")
            self.config = repr(pytest)
            folders = pytest["ini_options"]["pythonpath"]
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            folders = []
        self.search = [root / folder for folder in (folders.split() if isinstance(folders, str) else map(str, folders))]

    def load(self, path: Path) -> _Module | None:
        """A parsed file; None when it is missing or not Python."""
        if path not in self.modules:
            try:
                self.modules[path] = _Module(path, path.relative_to(self.root).as_posix())
            except (OSError, SyntaxError, ValueError):
                self.modules[path] = None
        return self.modules[path]

    def identify(self, nodeid: str) -> Identity:
        """Digests of one test; parameters of one function share them."""
        name = nodeid.partition("[")[0]
        if name not in self.known:
            file, _, rest = name.partition("::")
            path = self.root / file
            module = self.load(path)
            whole = hashlib.sha256(module.bytes if module else _read_bytes(path)).hexdigest()
            code = _hash(self._collect_code(module, rest.split("::"))) if module else whole
            if file not in self.supports:
                self.supports[file] = self._hash_support(path)
            self.known[name] = Identity(whole, code, self.supports[file])
        return self.known[name]

    def _load_conftests(self, path: Path) -> list[_Module]:
        folders = [folder for folder in (path.parent, *path.parent.parents) if folder.is_relative_to(self.root)]
        return [module for folder in folders if (module := self.load(folder / "conftest.py"))]

    def _hash_support(self, path: Path) -> str:
        parts = [hashlib.sha256(module.bytes).hexdigest() for module in self._load_conftests(path)]
        for name in CONFIGS:
            config = self.root / name
            if config.is_file():
                parts.append(hashlib.sha256(config.read_bytes()).hexdigest())
        return _hash([*parts, self.config])

    def _collect_code(self, module: _Module, names: list[str]) -> Iterator[str]:
        start = _find_nodes(module, names)
        yield from (ast.unparse(node) for node in start)
        scopes = self._list_scopes(module)
        used = {name for node in start for name in _find_used(node)}
        waiting = [(scope, name) for scope in scopes for name in used | {*scope.everywhere}]
        met: set[tuple[str, str]] = set()
        found: set[str] = set()
        while waiting:
            scope, name = waiting.pop()
            if (scope.relative, name) in met or f"{scope.relative}::{name}" in self.left_out:
                continue
            met.add((scope.relative, name))
            for whole in scope.defined.get(name, []):
                statement = _narrow(whole, name)
                found.add(f"{scope.relative}::{ast.unparse(statement)}")
                found.update(self._collect_imports(statement, scope.path.parent, module))
                waiting += [(place, each) for each in _find_used(statement) for place in scopes]
        yield from sorted(found)

    def _list_scopes(self, module: _Module) -> list[_Module]:
        """List the modules whose names a test may use: its own, conftests, and what they name as plugins."""
        scopes = [module, *self._load_conftests(module.path)]
        for scope in scopes:
            paths = [self.root / f"{name.replace('.', '/')}.py" for name in scope.plugins]
            paths += [folder / path.relative_to(self.root) for path in paths for folder in self.search]
            loaded = [self.load(path) for path in paths if path.is_relative_to(self.root)]
            scopes += [plugin for plugin in loaded if plugin is not None and plugin not in scopes]
        return scopes

    def _collect_imports(self, statement: ast.stmt, folder: Path, test: _Module) -> list[str]:
        """Sources of the local test modules that a statement imports, and of those that they import."""
        found: list[str] = []
        waiting: list[tuple[ast.AST, Path]] = [(statement, folder)]
        met: set[Path] = set()
        while waiting:
            node, beside = waiting.pop()
            for path in self._find_modules(node, beside):
                if path in met or not path.is_relative_to(self.root) or not path.is_file():
                    continue
                met.add(path)
                module = self.load(path)
                if module is None or module.relative in self.left_out:
                    continue
                if module.is_test_code or Path(module.relative).parts[0] == Path(test.relative).parts[0]:
                    found.append(f"{module.relative}::{ast.unparse(module.tree)}")
                    waiting += [(inner, path.parent) for inner in module.imports]
        return found

    def _find_modules(self, node: ast.AST, beside: Path) -> list[Path]:
        """Find the files that an import may read: beside the importing file, from the root, or where pytest looks."""
        names: list[str] = []
        places = [*self.search, beside, self.root]
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            stem = [node.module] if node.module else []
            names = [*stem, *(".".join([*stem, alias.name]) for alias in node.names)]
            if node.level:
                places = [[beside, *beside.parents][node.level - 1]]
        return [place / f"{name.replace('.', '/')}{end}" for name in names for place in places for end in MODULE_ENDS]
