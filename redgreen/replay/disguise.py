"""Find what a test looks for and does not find in the product of before, hidden behind another failure.

A test that catches a failed import, asks `hasattr`, or imports in another process fails by an assertion although only a
name is missing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from redgreen.replay.change import Change
from redgreen.replay.clone import Clone

__all__ = ["find_disguise", "is_named", "list_modules", "list_new_names"]

ASKING = frozenset({"hasattr", "getattr", "find_spec", "import_module", "__import__"})
IMPORTING = frozenset({"import_module", "__import__", "importorskip", "find_spec", "run_module"})
CATCHING = frozenset(
    {"ImportError", "ModuleNotFoundError", "AttributeError", "NameError", "Exception", "BaseException"}
)
MODULE = re.compile(r"[\w./]*\w")  # a dotted name or the path of a file
COMMAND = re.compile(r"\bimport\b|^-m\b")


def list_new_names(clone: Clone, change: Change) -> frozenset[str]:
    """List the names that modules of the product have after the change and not before, and the new modules."""
    found: set[str] = set()
    for path in change.product:
        after, before = clone.read(change.head, path), clone.read(change.base, path)
        if after is None or not path.endswith(".py"):
            continue
        place = PurePosixPath(path)
        if before is None:
            found.add(place.parent.name if place.stem == "__init__" else place.stem)
        found |= _list_names(after) - _list_names(before or "")
    return frozenset(found)


def find_disguise(source: str, nodeid: str, names: frozenset[str]) -> str:
    """Return the new name that a test looks for in a way that hides its absence; empty when there is none.

    What belongs to other tests of the same file is not looked at.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ""
    path = [part.partition("[")[0] for part in nodeid.split("::")[1:]]
    for node in _walk(tree.body, path):
        for name in _list_asked(node):
            if name in names:
                return name
    return ""


def list_modules(source: str) -> frozenset[str]:
    """List the modules that a source imports, or names in a text by themselves or by their files."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return frozenset()
    return frozenset(name for node in ast.walk(tree) for name in _list_modules(node))


def is_named(path: str, modules: frozenset[str]) -> bool:
    """Return whether a file is one of some modules, whichever of its folders they are named from."""
    parts = path.removesuffix(".py").removesuffix("/__init__").split("/")
    return any(".".join(parts[begin:]) in modules for begin in range(len(parts)))


def _list_modules(node: ast.AST) -> list[str]:
    """List the dotted names in a node that may be those of modules, without the dots of a relative import."""
    match node:
        case ast.Import():
            found = [alias.name for alias in node.names]
        case ast.ImportFrom():
            found = [f"{node.module or ''}.{alias.name}".strip(".") for alias in node.names]
        case ast.Constant(value=str() as text) if MODULE.fullmatch(text) and {*"./"} & {*text}:
            found = [text.removesuffix(".py").replace("/", ".").strip(".")]
        case ast.Call() if _name(node.func) in IMPORTING:
            found = _list_texts(node.args)
        case ast.Assign(targets=[ast.Name(id="pytest_plugins")]):
            found = _list_texts([node.value])
        case _:
            return []
    return [".".join(parts[:end]) for name in found for parts in [name.split(".")] for end in range(1, len(parts) + 1)]


def _list_names(source: str) -> set[str]:
    """List what a module and its classes define."""
    try:
        waiting = list(ast.parse(source).body)
    except (SyntaxError, ValueError):
        return set()
    found: set[str] = set()
    while waiting:
        node = waiting.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                found.add(node.name)
            case ast.ClassDef():
                found.add(node.name)
                waiting += node.body
            case ast.Import() | ast.ImportFrom():
                found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
            case ast.Assign() | ast.AnnAssign():
                names = [leaf for leaf in ast.walk(node) if isinstance(leaf, ast.Name)]
                found |= {leaf.id for leaf in names if isinstance(leaf.ctx, ast.Store)}
    return found


def _walk(body: Sequence[ast.stmt], path: Sequence[str]) -> Iterator[ast.AST]:
    """Walk the statements of a module or class without the tests that are not on the path."""
    for statement in body:
        match statement:
            case ast.ClassDef() if path and statement.name == path[0]:
                yield from _walk(statement.body, path[1:])
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if _is_other_test(statement.name, path):
                continue
            case _:
                yield from ast.walk(statement)


def _is_other_test(name: str, path: Sequence[str]) -> bool:
    return name.lower().startswith("test") and name not in path


def _list_asked(node: ast.AST) -> Iterator[str]:
    """List the names that a node looks for without failing by their absence itself."""
    match node:
        case ast.Try() | ast.With() if _is_forgiving(node):
            for inner in (leaf for statement in node.body for leaf in ast.walk(statement)):
                yield from _list_used(inner)
        case ast.Call() if _name(node.func) in ASKING:
            yield from _list_words(node.args)
        case ast.Compare(ops=[ast.In() | ast.NotIn()]):
            yield from _list_words([node.left])
        case ast.Constant(value=str() as text) if COMMAND.search(text):
            yield from re.findall(r"\w+", text)
        case ast.List() | ast.Tuple() if "-m" in _list_words(node.elts):  # the command line of a process
            yield from _list_words(node.elts)


def _is_forgiving(node: ast.Try | ast.With) -> bool:
    if isinstance(node, ast.With):
        return any("suppress" in ast.dump(item.context_expr) for item in node.items)
    return any(_catches(handler.type) for handler in node.handlers)


def _list_used(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import() | ast.ImportFrom():
            for alias in node.names:
                yield from alias.name.split(".")
            yield from (getattr(node, "module", "") or "").split(".")
        case ast.Attribute():
            yield node.attr


def _list_words(nodes: Sequence[ast.expr]) -> list[str]:
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [word for text in texts for word in text.split(".")]


def _list_texts(nodes: Sequence[ast.expr]) -> list[str]:
    leaves = [leaf for node in nodes for leaf in ast.walk(node)]
    return [leaf.value for leaf in leaves if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)]


def _catches(kind: ast.expr | None) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(one is None or _name(one) in CATCHING for one in kinds)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
