"""Collect a suite once, and let pytest's own matchers say which tests each entry selects."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from redgreen.checks.remedies import find_remedies
from redgreen.codec import JsonObject
from redgreen.errors import RegistryError
from redgreen.project import Project
from redgreen.registry.model import Registry
from redgreen.run.addons import switch_off_mentioned
from redgreen.run.environment import PLUGIN_FOLDER
from redgreen.run.launch import expand

__all__ = ["Collected", "Query", "collect", "collect_suite"]

COLLECTION_LIMIT_S: Final = 300


@dataclass(frozen=True, slots=True)
class Query:
    """What a selector selects: its tests, how many -k and -m choose among, and what is wrong with these."""

    ids: tuple[str, ...] = ()
    inside: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Collected:
    """What pytest collected.

    Attributes:
        whole: Whether it came to the end of the collection.
        ids: The tests.
        errors: What it could not collect, with the reason.
        queries: The answer for each selector.
        output: What it printed.
    """

    whole: bool
    ids: list[str]
    errors: dict[str, str]
    queries: dict[str, Query]
    output: str

    @property
    def complaint(self) -> str:
        """The last line that pytest printed."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"


def collect(project: Project, registry: Registry) -> Collected:
    """Collect the suite once and let pytest's own matchers answer each selector's -k and -m.

    Raises:
        RegistryError: The process fails before it has collected.
    """
    live = [selector for selector in registry.selectors.values() if not selector.planned]
    plugins = sorted({plugin for selector in live for plugin in selector.plugins})
    wanted = {s.name: {"select": expand(project.root, s), "k": s.k, "m": s.m} for s in registry.selectors.values()}
    found = collect_suite(project, plugins, live[0].env if live else {}, wanted)
    if not found.whole:
        remedies = [f"; {remedy}" for remedy in find_remedies(found.output, project.root)]
        raise RegistryError(f"pytest cannot collect the suite: {found.complaint}{''.join(remedies)}")
    return found


def collect_suite(
    project: Project,
    plugins: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    wanted: JsonObject | None = None,
) -> Collected:
    """Collect what pytest finds by itself, with some plugins and variables, and answer what is `wanted` of it.

    Raises:
        RegistryError: It takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="rg-lint-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        output = _collect_only(project, plugins, env or {}, wanted or {}, folder)
        written = folder / "events.jsonl"
        lines = written.read_text(encoding="utf-8").splitlines() if written.exists() else []
    events = [json.loads(line) for line in lines]
    ids = next((event["ids"] for event in events if event["e"] == "collected"), None)
    broken = any(event["e"] == "internal_error" for event in events)
    errors = {event["id"]: _find_reason(event["message"]) for event in events if event["e"] == "collect_error"}
    queries = {
        each["name"]: Query(tuple(each.get("ids", ())), each.get("inside", 0), each.get("error", ""))
        for each in events
        if each["e"] == "query"
    }
    return Collected(ids is not None and not broken, ids or [], errors, queries, output)


def _find_reason(message: str) -> str:
    """Find the line of pytest's report that names the exception."""
    told = [line[1:].strip() for line in message.splitlines() if line.startswith("E ")]
    named = [line for line in told if re.match(r"[\w.]+(?:Error|Exception|Warning)\b", line)]
    return (named or told or [message.strip().splitlines()[-1] if message.strip() else "pytest does not say why"])[-1]


def _collect_only(
    project: Project, plugins: Sequence[str], given: Mapping[str, str], wanted: JsonObject, folder: Path
) -> str:
    queries = folder / "queries.json"
    queries.write_text(json.dumps(wanted), encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHONPATH"))}
    env |= given
    env |= {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(PLUGIN_FOLDER), given.get("PYTHONPATH")))),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONHASHSEED": "0",
        "REDGREEN_EVENTS": str(folder / "events.jsonl"),
        "REDGREEN_QUERIES": str(queries),
    }
    argv = [project.python, "-m", "pytest", "-p", "redgreen_collector", "--collect-only", "-q", "-q", "--rootdir=."]
    argv += ["--continue-on-collection-errors", "-o", f"cache_dir={folder / 'cache'}"]
    for plugin in plugins:
        argv += ["-p", plugin]
    argv += switch_off_mentioned(project.root, plugins)
    try:
        done = subprocess.run(
            argv, cwd=project.root, env=env, capture_output=True, text=True, timeout=COLLECTION_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise RegistryError(f"pytest did not collect the suite within {COLLECTION_LIMIT_S} s") from None
    return done.stdout + "\n" + done.stderr
