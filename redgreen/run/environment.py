"""The child's environment: only what the registry allows, and what the record says about it."""

from __future__ import annotations

import os
import platform
import re
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from redgreen.registry.model import Selector

PLUGIN_FOLDER: Final = Path(__file__).resolve().parents[1] / "plugin"
PERSONAL: Final = ("PATH", "HOME", "TMPDIR", "USER", "LOGNAME", "PWD")  # they say where and who, nothing about the code
DISTRIBUTION: Final = re.compile(r"(.+?)-([^-]+)\.dist-info\Z")


def child_environment(
    selector: Selector, parent: Mapping[str, str], *, run_id: str, events: Path, tmp: Path
) -> dict[str, str]:
    """Compose the environment of the pytest process; `run_id` marks it, `events` is what the collector writes.

    It holds the allowed variables, the registry's own, and the pins: no options from outside, no plugins but the listed
    ones, a fixed hash seed.
    """
    env = {name: parent[name] for name in selector.pass_env if name in parent}
    env |= selector.env
    env |= {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(PLUGIN_FOLDER), env.get("PYTHONPATH")))),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONHASHSEED": env.get("PYTHONHASHSEED", "0"),
        "PYTHONUNBUFFERED": "1",
        # Cache files are distinguished by second and size: a fix within the second of its RED would run the old code.
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "120",
        "TMPDIR": str(tmp),
        "REDGREEN_EVENTS": str(events),
        "REDGREEN_RUN_ID": run_id,
        "REDGREEN_PRODUCTS": ",".join(find_products(selector)),
    }
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        env.pop(name, None)
    return env


def find_products(selector: Selector) -> list[str]:
    """Find the top-level packages that the selector declares as its product."""
    names = [glob.removeprefix("src/").split("/")[0].removesuffix(".py") for glob in selector.product]
    return sorted({name for name in names if name.isidentifier()})


def describe_environment(selector: Selector, parent: Mapping[str, str]) -> dict[str, Any]:
    """Describe it for the record: allowed values, how many were withheld, versions, kind of machine."""
    allowed = {name: parent[name] for name in selector.pass_env if name in parent} | selector.env
    shown = {name: f"<{name.lower()}>" if name in PERSONAL else value for name, value in sorted(allowed.items())}
    return {
        "env": shown,
        "withheld": len(set(parent) - set(allowed)),
        "pins": {"PYTHONHASHSEED": allowed.get("PYTHONHASHSEED", "0"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "system": platform.system(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "packages": list_packages(),
    }


def list_packages() -> dict[str, str]:
    """Return names and versions of what is installed, read from folder names because the full metadata takes long."""
    found: dict[str, str] = {}
    for key in ("purelib", "platlib"):
        folder = sysconfig.get_paths()[key]
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            if match := DISTRIBUTION.match(name):
                found[match[1].lower().replace("_", "-")] = match[2]
    return dict(sorted(found.items()))
