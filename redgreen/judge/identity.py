"""Identity of a test in three levels: bytes of its file; its code with what it uses; conftest and configuration.

The second level is the source of the test, its class, and every helper, fixture, constant and local test module that
it reaches by name, without comments, layout and docstrings. Autouse fixtures and hooks reach every test, as do the
modules that `pytest_plugins` names. Helpers that the registry lists as `test_support` are left out: they are allowed to
change between RED and GREEN.
"""

from __future__ import annotations

import ast
import configparser
import contextlib
import hashlib
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from redgreen.judge.module import Module, find_nodes, find_used, narrow

VERSION: Final = 2  # of the rules below; identities that were taken by other rules cannot be compared
CONFIGS: Final = ("pytest.ini", "pytest.toml", ".pytest.toml", ".pytest.ini", "tox.ini", "setup.cfg")
MODULE_ENDS: Final = (".py", "/__init__.py")
# files that may hold pytest's configuration, each with the tables in which it may stand
IMPORT_SETTINGS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "pyproject.toml": (("tool", "pytest", "ini_options"), ("tool", "pytest")),
    "pytest.toml": (("pytest",),),
    ".pytest.toml": (("pytest",),),
    "pytest.ini": (("pytest",),),
    ".pytest.ini": (("pytest",),),
    "tox.ini": (("pytest",),),
    "setup.cfg": (("tool:pytest",),),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Digests of a test's file, of its code, and of conftest and configuration."""

    file: str
    ast: str
    support: str


def identify(
    root: Path, nodeids: Iterable[str], test_support: Iterable[str] = (), tests_roots: Iterable[str] = ()
) -> dict[str, Identity]:
    """Identify tests; a file that is not Python has the digest of its bytes for `ast`.

    `test_support` names helpers (`file::name`) or whole files that are no part of a test's identity; modules below
    `tests_roots`, or in a folder named tests, test or testing, belong to the tests that import them.
    """
    reader = _Reader(root, frozenset(test_support), tuple(tests_roots))
    return {nodeid: reader.identify(nodeid) for nodeid in nodeids}


def find_import_folders(root: Path) -> list[str]:
    """Find the folders that the pytest configuration of a project puts on the import path, whatever file it is in."""
    found: list[str] = []
    for name, sections in IMPORT_SETTINGS.items():
        table: Any = {}
        with contextlib.suppress(OSError, ValueError, configparser.Error):
            text = (root / name).read_text(encoding="utf-8")
            if name.endswith(".toml"):
                table = tomllib.loads(text)
            else:
                parser = configparser.RawConfigParser(strict=False)
                parser.read_string(text)
                table = {section: dict(parser[section]) for section in parser.sections()}
        for section in sections:
            inner = table
            for key in (*section, "pythonpath"):
                inner = inner.get(key, {}) if isinstance(inner, dict) else {}
            found += inner.split() if isinstance(inner, str) else [str(each) for each in inner]
    return list(dict.fromkeys(found))


def _hash(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


class _Reader:
    def __init__(self, root: Path, support: frozenset[str], tests_roots: tuple[str, ...]) -> None:
        self.root = root
        self.tests_roots = tests_roots
        self.left_out = support
        self.modules: dict[Path, Module | None] = {}
        self.known: dict[str, Identity] = {}
        self.supports: dict[str, str] = {}
        self.wholes: dict[Path, str] = {}
        self.texts: dict[ast.stmt, str] = {}
        self.config = ""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            config = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
            self.config = repr(config.get("tool", {}).get("pytest"))
        self.search = [root, *(root / folder for folder in find_import_folders(root))]

    def load(self, path: Path) -> Module | None:
        """A parsed file; None when it is missing or not Python."""
        if path not in self.modules:
            try:
                self.modules[path] = Module(path, path.relative_to(self.root).as_posix())
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
            whole = module.sha256 if module else hashlib.sha256(_read_bytes(path)).hexdigest()
            code = self._hash_code(module, rest.split("::")) if module else whole
            if file not in self.supports:
                self.supports[file] = self._hash_support(path)
            self.known[name] = Identity(whole, code, self.supports[file])
        return self.known[name]

    def _load_conftests(self, path: Path) -> list[Module]:
        folders = [folder for folder in (path.parent, *path.parent.parents) if folder.is_relative_to(self.root)]
        return [module for folder in folders if (module := self.load(folder / "conftest.py"))]

    def _hash_support(self, path: Path) -> str:
        parts = [module.sha256 for module in self._load_conftests(path)]
        for name in CONFIGS:
            config = self.root / name
            if config.is_file():
                parts.append(hashlib.sha256(config.read_bytes()).hexdigest())
        return _hash([*parts, self.config])

    def _hash_code(self, module: Module, names: list[str]) -> str:
        start = find_nodes(module, names)
        if start != [module.tree]:
            return _hash(self._collect_code(module, start))
        if module.path not in self.wholes:  # tests that are made at run time share the whole module
            self.wholes[module.path] = _hash(self._collect_code(module, start))
        return self.wholes[module.path]

    def _collect_code(self, module: Module, start: list[ast.AST]) -> Iterator[str]:
        yield from (ast.unparse(node) for node in start)
        scopes = self._list_scopes(module)
        used = {name for node in start for name in find_used(node)}
        waiting = [(scope, name) for scope in scopes for name in used | {*scope.everywhere}]
        met: set[tuple[str, str]] = set()
        found: set[str] = set()
        while waiting:
            scope, name = waiting.pop()
            if (scope.relative, name) in met or f"{scope.relative}::{name}" in self.left_out:
                continue
            met.add((scope.relative, name))
            for whole in scope.defined.get(name, []):
                statement = narrow(whole, name)
                text = self._unparse(whole) if statement is whole else ast.unparse(statement)
                found.add(f"{scope.relative}::{text}")
                found.update(self._collect_imports(statement, scope.path.parent))
                waiting += [(place, each) for each in find_used(statement) for place in scopes]
        yield from sorted(found)

    def _unparse(self, statement: ast.stmt) -> str:
        """Write a statement that many tests share, once."""
        if statement not in self.texts:
            self.texts[statement] = ast.unparse(statement)
        return self.texts[statement]

    def _list_scopes(self, module: Module) -> list[Module]:
        """List the modules whose names a test may use: its own, conftests, and what they name as plugins."""
        scopes = [module, *self._load_conftests(module.path)]
        for scope in scopes:
            paths = [self.root / f"{name.replace('.', '/')}.py" for name in scope.plugins]
            paths += [folder / path.relative_to(self.root) for path in paths for folder in self.search]
            loaded = [self.load(path) for path in paths if path.is_relative_to(self.root)]
            scopes += [plugin for plugin in loaded if plugin is not None and plugin not in scopes]
        return scopes

    def _is_test_code(self, relative: str) -> bool:
        """Whether a module belongs to the tests: by the name of its folder, or as declared."""
        named = not {"tests", "test", "testing"}.isdisjoint(Path(relative).parts[:-1])
        return named or any(Path(relative).is_relative_to(folder) for folder in self.tests_roots)

    def _collect_imports(self, statement: ast.stmt, folder: Path) -> list[str]:
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
                if module and self._is_test_code(module.relative) and module.relative not in self.left_out:
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
