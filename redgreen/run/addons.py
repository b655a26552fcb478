"""Plugins of pytest that would hide tests from the collector, reorder or repeat them; how each is switched off."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["ADDONS", "read_configuration", "switch_off", "switch_off_mentioned"]

CONFIGURATIONS: Final = (
    "pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Addon:
    """A plugin: its module, its name for pytest's `-p`, what mentions it in a configuration, and how it does nothing.

    `blocked` matches its name behind `no:` where the project itself switches it off.
    """

    module: str
    name: str
    mentioned: re.Pattern[str]
    blocked: re.Pattern[str]
    options: tuple[str, ...]


ADDONS: Final = (
    Addon(
        "xdist",
        "xdist",
        re.compile(
            r"\bxdist\b|(?<![\w-])(?:-n[\"',\s=]*(?:auto|logical|\d)|--(?:numprocesses|maxprocesses|dist|tx)\b)"
        ),
        re.compile(r"\bno:xdist\b"),
        ("-n0",),
    ),
    Addon(
        "pytest_cov",
        "pytest_cov",
        re.compile(r"(?<![\w-])--(?:no-)?cov\b|\bpytest_cov\b"),
        re.compile(r"\bno:(?:pytest_)?cov\b"),
        ("--no-cov",),
    ),
    Addon(
        "pytest_randomly",
        "randomly",
        re.compile(r"(?<![\w-])--randomly-|-p[\"',\s=]*randomly\b"),
        re.compile(r"\bno:randomly\b"),
        ("--randomly-dont-reorganize", "--randomly-seed=0"),
    ),
    Addon(
        "pytest_rerunfailures",
        "rerunfailures",
        re.compile(r"(?<![\w-])--(?:reruns|only-rerun|rerun-except|fail-on-flaky)\b"),
        re.compile(r"\bno:rerunfailures\b"),
        ("--reruns=0",),
    ),
)


def read_configuration(root: Path) -> str:
    """Return the text of every file in which pytest may find its configuration: here, and above in the repository."""
    return "\n".join(_read_files(root))


def _read_files(root: Path) -> Iterator[str]:
    for folder in (root, *root.parents):
        for name in CONFIGURATIONS:
            if (folder / name).is_file():
                yield (folder / name).read_bytes().decode("utf-8", "replace")
        if (folder / ".git").exists():
            return


def switch_off(root: Path) -> list[str]:
    """Return options that switch each installed one off where plugins are loaded automatically."""
    said = read_configuration(root)
    return [option for addon in _list_open(said) for option in addon.options]


def switch_off_mentioned(root: Path, plugins: Iterable[str] = ()) -> list[str]:
    """Return options that load those which the configuration has options of, and switch them and the listed ones off.

    Without the plugin, pytest would refuse its options.
    """
    said, listed = read_configuration(root), {*plugins}
    words: list[str] = []
    for addon in _list_open(said):
        if {addon.module, addon.name} & listed:
            words += addon.options
        elif addon.mentioned.search(said):
            words += ["-p", addon.name, *addon.options]
    return words


def _list_open(said: str) -> list[Addon]:
    """List those installed that the project does not block."""
    return [one for one in ADDONS if importlib.util.find_spec(one.module) and not one.blocked.search(said)]
