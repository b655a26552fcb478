"""Stand-ins for what only a build writes: the metadata of the project, and the file that holds its version."""

from __future__ import annotations

import configparser
import importlib.metadata
import re
import tomllib
from pathlib import Path
from typing import Any, Final

__all__ = ["write_standins"]

VERSION: Final = '__version__ = version = "0"\n__version_tuple__ = version_tuple = (0,)\n'
# where the tools that derive a version from git are told to write it
VERSION_FILES: Final = (
    ("tool", "setuptools_scm", "version_file"),
    ("tool", "setuptools_scm", "write_to"),
    ("tool", "hatch", "build", "hooks", "vcs", "version-file"),
    ("tool", "pdm", "version", "write_to"),
)


def write_standins(root: Path, folder: Path) -> tuple[str, ...]:
    """Write what a build of the project at `root` would have written, and return what that is.

    The metadata goes into `folder`, for the import path, unless the project is installed; a version file goes where the
    project has none. Both say version 0 where no version is written down.
    """
    project, cfg = _read_toml(root / "pyproject.toml"), _read_cfg(root / "setup.cfg")
    written = []
    for keys in VERSION_FILES:
        name = _look_up(project, *keys)
        file = root / name if isinstance(name, str) else None
        if file and not file.exists() and file.parent.is_dir() and file.resolve().is_relative_to(root.resolve()):
            file.write_text(VERSION, encoding="utf-8")
            written.append(str(name))
    name = _look_up(project, "project", "name") or cfg.get("metadata", "name", fallback="")
    if isinstance(name, str) and name and not _is_installed(name):
        version = _look_up(project, "project", "version")
        points = _read_entry_points(project)
        if cfg.has_section("options.entry_points"):
            points += cfg.items("options.entry_points")
        stem = re.sub(r"[-_.]+", "_", name).lower()
        place = folder / f"{stem}-0.dist-info"
        place.mkdir(parents=True)
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version if isinstance(version, str) else '0'}\n"
        (place / "METADATA").write_text(text, encoding="utf-8")
        (place / "entry_points.txt").write_text("".join(f"[{group}]\n{lines}\n" for group, lines in points), "utf-8")
        written.append(f"metadata of {name}")
    return tuple(written)


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _read_cfg(file: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return configparser.ConfigParser()
    return parser


def _look_up(table: object, *keys: str) -> object:
    for key in keys:
        table = table.get(key) if isinstance(table, dict) else None
    return table


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _read_entry_points(project: dict[str, Any]) -> list[tuple[str, str]]:
    groups = _look_up(project, "project", "entry-points")
    scripts = _look_up(project, "project", "scripts")
    found = {**(groups if isinstance(groups, dict) else {})}
    if isinstance(scripts, dict):
        found["console_scripts"] = scripts
    return [
        (group, "\n".join(f"{name} = {value}" for name, value in points.items()))
        for group, points in found.items()
        if isinstance(points, dict)
    ]
