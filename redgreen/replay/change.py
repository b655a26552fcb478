"""A change between two commits: which of its files are product, and which belong to the tests."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from redgreen.errors import RepositoryError

__all__ = [
    "Ask",
    "Change",
    "describe_change",
    "is_test_file",
    "lies_with_tests",
    "resolve_range",
]

Ask = Callable[..., bytes]  # runs git in a repository with the given words, and returns what it printed

TEST_FOLDER: Final = re.compile(r"(unit)?tests?|test[_-]?data|tests?[_-].+|.+[_-]tests?|__snapshots__", re.IGNORECASE)
# what a package offers for testing is its product where it has a test of its own, and else a helper of tests
TESTING: Final = re.compile(r"_?testing|testutils|testhelpers|test_helpers|test_utils|fixtures|assertions")
# source files that configure a project's tools and are no part of what it delivers
TOOL_FILES: Final = frozenset(
    {"sitecustomize.py", "usercustomize.py", "setup.py", "noxfile.py", "fabfile.py", "tasks.py", "dodo.py", "conf.py"}
)
TOOL_FOLDERS: Final = frozenset({"docs", "doc", "examples", "benchmarks", "ci", ".github"})
SETTINGS: Final = frozenset(
    {"sitecustomize.py", "usercustomize.py", "pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg", "pyproject.toml"}
)
SOURCES: Final = frozenset({".py", ".pyi", ".pyx", ".pxd", ".c", ".h", ".cc", ".cpp", ".hpp", ".cu", ".rs"})
RANGE: Final = re.compile(r"(?P<base>.+?)\.\.(?P<head>[^.].*)?\Z")


@dataclass(frozen=True, slots=True)
class Change:
    """The files that differ between two commits, in two groups.

    `base` and `head` are full commit ids. `product` are changed files of the product; `others` are all other changed
    files (tests, their data, configuration, documents), which a replay leaves on the side of the tests. `declared`
    says that the product was named, not guessed. `roots` are the folders from which its packages are imported, and
    `packages` the names of those.
    """

    base: str
    head: str
    product: tuple[str, ...]
    others: tuple[str, ...]
    declared: bool = False
    roots: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    @property
    def settings(self) -> tuple[str, ...]:
        """The changed files that can turn an outcome although they are no test: helpers of tests, and settings."""
        return tuple(path for path in self.others if _is_setting(PurePosixPath(path)))

    @property
    def tests(self) -> tuple[str, ...]:
        """The changed files that pytest would collect."""
        return tuple(path for path in self.others if is_test_file(path))


def resolve_range(ask: Ask, span: str) -> tuple[str, str]:
    """Find the two commits of a range; `BASE..` means up to HEAD.

    Raises:
        RepositoryError: The range is not one, a commit does not exist, or BASE is no ancestor of HEAD.
    """
    match = RANGE.match(span)
    if match is None:
        raise RepositoryError(f"'{span}' is not a range of commits; give BASE..HEAD, as in main~1..main")
    base, head = _resolve(ask, match["base"]), _resolve(ask, match["head"] or "HEAD")
    if ask("merge-base", base, head).decode().strip() != base:
        raise RepositoryError(f"{match['base']} is not an ancestor of {match['head'] or 'HEAD'}")
    return base, head


def describe_change(ask: Ask, base: str, head: str, product: Sequence[str] = ()) -> Change:
    """Describe what changes from one commit to another.

    `product` are globs of the product's files; without them the product is the source code outside of test folders,
    and what lies in a folder with an `__init__.py`.
    """
    raw = ask("diff-tree", "-r", "-z", "--no-renames", "--name-only", base, head)
    changed = tuple(name.decode("utf-8", "surrogateescape") for name in raw.split(b"\0") if name)
    layout = _Layout(ask, base, head)
    wanted = (lambda path: any(fnmatch.fnmatchcase(path, glob) for glob in product)) if product else layout.is_product
    chosen = tuple(path for path in changed if wanted(path))
    others = tuple(path for path in changed if path not in set(chosen))
    tops = {top for path in chosen if (top := layout.find_package(path)) is not None}
    roots, packages = {str(top.parent) for top in tops}, {top.name for top in tops}
    return Change(base, head, chosen, others, bool(product), tuple(sorted(roots)), tuple(sorted(packages)))


def _resolve(ask: Ask, name: str) -> str:
    try:
        return ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").decode().strip()
    except RepositoryError as error:
        if "not a git repository" in str(error):
            raise
        raise RepositoryError(f"'{name}' is not a commit of this repository") from None


def is_test_file(path: str) -> bool:
    """Return whether pytest collects the file by its usual names."""
    name = PurePosixPath(path).name
    return name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py"))


def lies_with_tests(path: str) -> bool:
    """Return whether a file is a test or conftest, or lies in a folder of tests."""
    place = PurePosixPath(path)
    in_tests = any(TEST_FOLDER.fullmatch(part) for part in place.parts[:-1])
    return in_tests or is_test_file(path) or place.name == "conftest.py"


def _is_tool(place: PurePosixPath) -> bool:
    return place.name in TOOL_FILES or (place.parts[0] in TOOL_FOLDERS and len(place.parts) > 1)


def _is_setting(place: PurePosixPath) -> bool:
    if place.name in SETTINGS:
        return True
    return place.suffix == ".py" and not is_test_file(str(place)) and not _is_tool(place)


class _Layout:
    """The files of both commits, from which it is read what is product."""

    def __init__(self, ask: Ask, base: str, head: str) -> None:
        self._ask, self._head = ask, head
        self._files = {PurePosixPath(name) for commit in (base, head) for name in _list_files(ask, commit)}
        self._packages = {path.parent for path in self._files if path.name == "__init__.py"}
        self._tests = {path for path in self._files if is_test_file(str(path))}

    def is_product(self, path: str) -> bool:
        """Return whether a file is part of what the project delivers."""
        place = PurePosixPath(path)
        folders = place.parts[:-1]
        if lies_with_tests(path):
            return False
        if any(TESTING.fullmatch(part) for part in (*folders, place.stem)):
            return place.parent in self._packages and self._is_tested(place)
        if _is_tool(place):
            return False
        if place.suffix not in SOURCES:
            return any(parent in self._packages for parent in place.parents if parent.parts)
        lies_beside_tests = any(test.parent == place.parent for test in self._tests)
        return not lies_beside_tests or self._is_tested(place) or self._is_imported(place)

    def find_package(self, path: str) -> PurePosixPath | None:
        """Find the topmost package that a source file belongs to."""
        inside = [parent for parent in PurePosixPath(path).parents if parent.parts and parent in self._packages]
        whole = [parent for parent in inside if all(between in inside for between in _list_between(path, parent))]
        return whole[-1] if whole else None

    def _is_tested(self, place: PurePosixPath) -> bool:
        names = {f"test_{place.stem}.py", f"{place.stem}_test.py"}
        return any(test.name in names for test in self._tests)

    def _is_imported(self, place: PurePosixPath) -> bool:
        """Return whether a file that is no test imports the module."""
        module = place.parent.name if place.stem == "__init__" else place.stem
        line = rf"^[[:space:]]*(from|import)[[:space:]].*\b{re.escape(module)}\b"
        try:
            found = self._ask("grep", "-l", "-z", "-E", line, self._head, "--", "*.py").decode("utf-8", "replace")
        except RepositoryError:  # no line matches
            return False
        names = {PurePosixPath(name.partition(":")[2]) for name in found.split("\0") if name}
        return bool(names - self._tests - {place, place.parent / "conftest.py"})


def _list_between(path: str, top: PurePosixPath) -> list[PurePosixPath]:
    """List the folders from a file's own up to one of its parents."""
    return [parent for parent in PurePosixPath(path).parents if parent.is_relative_to(top)]


def _list_files(ask: Ask, commit: str) -> list[str]:
    raw = ask("ls-tree", "-r", "-z", "--name-only", commit)
    return [name for name in raw.decode("utf-8", "surrogateescape").split("\0") if name]
