"""Read `plans/registry.yaml` into frozen values; every mistake is named with its line."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, Final

from redgreen.codes import GREEN, GUARD, RED
from redgreen.errors import Problem, RegistryError
from redgreen.registry.fields import Fields, suggest
from redgreen.registry.model import (
    ACCEPTABLE,
    PLACES,
    ArtifactSpec,
    Count,
    Initiative,
    RedSpec,
    Registry,
    Rule,
    Selector,
)
from redgreen.registry.yamlfile import load_yaml

REGISTRY_NAME: Final = "plans/registry.yaml"
LOCK_NAME: Final = "plans/registry.lock.json"
PASS_ENV: Final = ("PATH", "HOME", "LANG", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")


def load_registry(root: Path, name: str = REGISTRY_NAME) -> Registry:
    """Read the registry below a repository root, with the frozen ids beside it.

    Raises:
        RegistryError: The file is missing or wrong; `problems` holds every finding.
    """
    top = load_yaml(root / name, name)
    problems: list[Problem] = []
    fields = Fields(top, "registry", name, problems)
    if fields.read_whole("schema", 0) != 1:
        fields.problem("schema", "registry.schema: this redgreen reads schema 1")
    ignored = fields.read_texts("ignored")
    below = fields.read_child("defaults")
    defaults = _read_common(below, DEFAULTS, adding=False) | {
        "tests_roots": below.read_texts("tests_roots", ("tests",))
    }
    below.finish()
    initiatives = {key: _read_initiative(key, below) for key, below in fields.read_named("initiatives").items()}
    selectors = {key: _read_selector(key, below, defaults) for key, below in fields.read_named("selectors").items()}
    fields.finish()
    if not selectors and not problems:
        fields.problem("selectors", "registry.selectors: no selector is declared")
    if not problems:
        _check_references(name, initiatives, selectors, problems)
    if problems:
        raise RegistryError.from_problems(sorted(problems, key=lambda problem: problem.line))
    sha256 = hashlib.sha256((root / name).read_bytes()).hexdigest()
    return Registry(name, sha256, initiatives, selectors, _read_frozen(root, selectors), ignored)


def find_selector(registry: Registry, name: str) -> Selector:
    """Find the selector of that name.

    Raises:
        RegistryError: There is none; the nearest names are offered.
    """
    try:
        return registry.selectors[name]
    except KeyError:
        hint = suggest(name, list(registry.selectors))
        raise RegistryError(f"{registry.file}: no selector is called '{name}'{hint}") from None


DEFAULTS: Final[dict[str, Any]] = {
    "env": {},
    "pass_env": PASS_ENV,
    "pytest_args": ("-vv", "--tb=short"),
    "plugins": (),
    "budget_s": 60.0,
    "repeat_red": 1,
    "repeat_green": 1,
    "max_skipped": 0,
    "max_xfailed": 0,
}


def _read_common(fields: Fields, base: dict[str, Any], *, adding: bool) -> dict[str, Any]:
    """Read what both the defaults and a selector may set; a selector adds to the variables and plugins of its base."""
    repeat, expect = fields.read_child("repeat"), fields.read_child("expect")
    values = {
        "env": base["env"] | fields.read_pairs("env"),
        "pass_env": fields.read_texts("pass_env", () if adding else base["pass_env"]),
        "pytest_args": fields.read_texts("pytest_args", base["pytest_args"]),
        "plugins": fields.read_texts("plugins"),
        "budget_s": fields.read_number("budget_s", base["budget_s"], least=0.1),
        "repeat_red": repeat.read_whole("red", base["repeat_red"], least=1),
        "repeat_green": repeat.read_whole("green", base["repeat_green"], least=1),
        "max_skipped": expect.read_whole("skipped", base["max_skipped"]),
        "max_xfailed": expect.read_whole("xfailed", base["max_xfailed"]),
    }
    for key in ("pass_env", "plugins") if adding else ():
        values[key] = tuple(dict.fromkeys(base[key] + values[key]))
    repeat.finish()
    expect.finish()
    return values


def _read_initiative(name: str, fields: Fields) -> Initiative:
    if not NAME.match(name):
        fields.problem("", f"initiatives: '{name}' cannot name a folder")
    plan = fields.read_text("plan")
    _check_inside(fields, "plan", [plan])
    found = Initiative(
        name, fields.read_text("title", ""), plan, fields.read_text("active_phase", ""), fields.mapping.line
    )
    fields.finish()
    return found


def _read_selector(name: str, fields: Fields, defaults: dict[str, Any]) -> Selector:
    if not NAME.match(name):
        fields.problem("", f"selectors: '{name}' must be letters, digits, '.', '_' and '-'")
    log = fields.read_child("log")
    stem = re.sub(r"[^A-Za-z0-9]+", "_", name)
    phase = fields.read_text("phase")
    selector = Selector(
        name=name,
        initiative=fields.read_text("initiative"),
        phase=phase,
        category=fields.read_text("category"),
        title=fields.read_text("title", ""),
        select=fields.read_required("select"),
        k=fields.read_text("k", ""),
        m=fields.read_text("m", ""),
        count=_read_count(fields),
        role=fields.read_text("role", "guard", among=("guard", "target")),
        state=fields.read_text("state", "live", among=("live", "planned")),
        red=_read_red(fields.read_child("red")) if fields.has("red") else None,
        protects=fields.read_texts("protects"),
        product=fields.read_texts("product"),
        test_support=fields.read_texts("test_support"),
        artifacts=tuple(_read_artifact(below) for below in fields.read_children("artifacts")),
        log_red=log.read_text("red", f"pytest_{stem}_red.log"),
        log_green=log.read_text("green", f"pytest_{stem}_green.log"),
        log_guard=log.read_text("guard", f"pytest_{stem}.log"),
        subdir=fields.read_text("subdir", f"phase_{phase.lower()}"),
        tests_roots=defaults["tests_roots"],
        line=fields.mapping.line,
        **_read_common(fields, defaults, adding=True),
    )
    _check_selector(selector, fields, log)
    log.finish()
    fields.finish()
    return selector


def _check_selector(selector: Selector, fields: Fields, log: Fields) -> None:
    if selector.role == "target" and selector.state == "live" and selector.red is None:
        fields.problem("role", f"{fields.where}: a live target needs 'red' with its reasons")
    if selector.role == "guard" and selector.red is not None:
        fields.problem("red", f"{fields.where}.red: a guard has no RED; write role: target")
    if any(plugin in ("xdist", "xdist.plugin") for plugin in selector.plugins):
        fields.problem("plugins", f"{fields.where}.plugins: xdist splits the witness; run selectors in one process")
    _check_inside(fields, "select", [part.partition("::")[0] for part in selector.select])
    _check_inside(fields, "subdir", [selector.subdir])
    if not NAME.match(selector.subdir):
        fields.problem("subdir", f"{fields.where}.subdir: '{selector.subdir}' must be one plain folder name")
    for mode in (RED, GREEN, GUARD):
        if not NAME.match(selector.name_log(mode)) or not selector.name_log(mode).endswith(".log"):
            log.problem(mode.name, f"{log.where}.{mode}: expected a plain file name that ends in .log")


def _check_inside(fields: Fields, key: str, paths: Iterable[str]) -> None:
    for path in paths:
        if path and (PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\\" in path):
            fields.problem(key, f"{fields.where}.{key}: '{path}' must be relative to the repository, without '..'")


def _read_count(fields: Fields) -> Count:
    if isinstance(fields.mapping.get("count"), int):
        exact = fields.read_whole("count", 1, least=1)
        return Count(exact, exact)
    below = fields.read_child("count")
    least = below.read_whole("min", 1, least=1)
    most = below.read_whole("max", least, least=least) if below.has("max") else None
    below.finish()
    return Count(least, most)


def _read_red(fields: Fields) -> RedSpec:
    accept = fields.read_texts("accept", ("assertion",), among=ACCEPTABLE)
    reasons = []
    for below in fields.read_children("reasons"):
        reasons.append(
            Rule(
                tests=below.read_text("tests", "*"),
                type=below.read_text("type"),
                match=below.read_regex("match"),
                raised_in=below.read_text("raised_in", "tests", among=PLACES),
            )
        )
        below.finish()
    if not reasons:
        fields.problem("reasons", f"{fields.where}: at least one reason (type, match, raised_in) is needed")
    fields.finish()
    return RedSpec(accept, tuple(reasons))


def _read_artifact(fields: Fields) -> ArtifactSpec:
    spec = ArtifactSpec(
        fields.read_text("glob"), fields.read_whole("min_bytes", 1, least=0), fields.read_whole("min_count", 1, least=1)
    )
    _check_inside(fields, "glob", [spec.glob])
    fields.finish()
    return spec


def _check_references(
    name: str, initiatives: dict[str, Initiative], selectors: dict[str, Selector], problems: list[Problem]
) -> None:
    places: dict[tuple[str, str], str] = {}
    for selector in selectors.values():

        def problem(message: str, selector: Selector = selector) -> None:
            problems.append(Problem(name, selector.line, f"selectors.{selector.name}: {message}"))

        if selector.initiative not in initiatives:
            problem(f"unknown initiative '{selector.initiative}'{suggest(selector.initiative, list(initiatives))}")
        for guard in selector.protects:
            if guard not in selectors:
                problem(f"protects the unknown selector '{guard}'{suggest(guard, list(selectors))}")
            elif guard == selector.name:
                problem("cannot protect itself")
        place = selector.initiative, selector.subdir.casefold()
        if place in places:
            problem(f"writes into the same folder '{selector.subdir}' as {places[place]}; give it a 'subdir'")
        places.setdefault(place, selector.name)


def _read_frozen(root: Path, selectors: dict[str, Selector]) -> dict[str, tuple[str, ...]]:
    try:
        lock = json.loads((root / LOCK_NAME).read_text(encoding="utf-8"))
        frozen = {str(key): tuple(str(item) for item in ids) for key, ids in lock["selectors"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise RegistryError(f"{LOCK_NAME}: not readable; write it again with `redgreen lint --freeze`") from None
    for key in frozen:
        if key not in selectors:
            raise RegistryError(f"{LOCK_NAME}: holds the unknown selector '{key}'; run `redgreen lint --freeze`")
    return frozen
