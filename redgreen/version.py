"""The version of redgreen: that of its distribution, or of the checkout that runs."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

__all__ = ["find_version"]


def find_version() -> str:
    """Return the version that `redgreen/pyproject.toml` declares, which an installed distribution repeats.

    The file is there only in a checkout, where another version may be installed beside it.
    """
    declared = Path(__file__).with_name("pyproject.toml")
    if declared.is_file():
        version: str = tomllib.loads(declared.read_text(encoding="utf-8"))["project"]["version"]
        return version
    return importlib.metadata.version("redgreen")
