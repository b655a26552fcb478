"""Packages that behave as if they were not installed, in the process that asks for it.

`python -c "import absent; absent.hide('torch')"`, or for pytest `-p absent`, which hides what `TORCH` names.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec
from typing import Any

TORCH = ("torch", "lightning", "jaxtyping")


class _Forgetful:
    """A finder of modules that does not find some packages."""

    def __init__(self, finder: Any, names: Iterable[str]) -> None:
        self._finder = finder
        self._names = frozenset(names)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        found: ModuleSpec | None = None
        if name.partition(".")[0] not in self._names:
            found = self._finder.find_spec(name, path, target)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)


def hide(*names: str) -> None:
    """Let `import` and `find_spec` miss some packages; none of them may be loaded yet."""
    assert not set(names) & set(sys.modules), "too late: they are loaded"
    sys.meta_path[:] = [_Forgetful(finder, names) for finder in sys.meta_path]


def pytest_configure() -> None:
    """Hide torch from the tests of a whole run."""
    hide(*TORCH)
