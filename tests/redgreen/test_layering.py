"""What each part of the harness may import of it: no circle, and nothing from above."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from redgreen_sandbox import TOP

# every part in its order, from the bottom: it may import what stands above it in this table, and itself
ORDER = (
    "errors",
    "version",
    "codec",
    "codes",
    "gitrepo",
    "registry",
    "project",
    "judge",
    "evidence",
    "run",
    "replay",
    "sealing",
    "runner",
    "checks",
    "site",
    "commands",
    "cli",
    "__init__",
    "__main__",
)
# what a part may not import although it stands lower
SEPARATE = {"registry": {"gitrepo"}, "judge": {"gitrepo", "project"}}
PACKAGE = TOP / "redgreen"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent.name != "plugin")


def imported(path: Path) -> set[str]:
    """Dotted names of what a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_part_imports_only_what_lies_below_it(path: Path) -> None:
    part = part_of(path)
    below = {*ORDER[: ORDER.index(part) + 1]} - SEPARATE.get(part, set())
    wanted = {name.split(".")[1] for name in imported(path) if name.startswith("redgreen.")}
    assert wanted <= below


def test_no_file_of_the_harness_imports_itself_through_others() -> None:
    names = {".".join(path.relative_to(TOP).with_suffix("").parts): path for path in FILES}
    graph = {
        name: {
            known for wanted in imported(path) for known in names if wanted == known or wanted.startswith(f"{known}.")
        }
        for name, path in names.items()
    }
    while leaves := {name for name, wanted in graph.items() if not wanted & graph.keys()}:
        graph = {name: wanted for name, wanted in graph.items() if name not in leaves}
    assert graph == {}


def test_every_part_stands_in_the_table() -> None:
    assert {part_of(path) for path in FILES} == {*ORDER}


def test_the_collector_stands_alone() -> None:
    beside = {path.stem for path in (PACKAGE / "plugin").glob("*.py")}
    wanted = {name.split(".")[0] for path in (PACKAGE / "plugin").glob("*.py") for name in imported(path)}
    assert not any(name.startswith("redgreen") for name in wanted - beside)
