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
from redgreen.registry.fields import Fields, nearest
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

__all__ = ["LOCK_NAME", "REGISTRY_NAME", "find_selector", "load_registry"]

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
    if fields.whole("schema", 0) != 1:
        fields.problem("schema", "registry.schema: this redgreen reads schema 1")
    ignored = fields.texts("ignored")
    defaults = _defaults(fields.child("defaults"))
    initiatives = {key: _initiative(key, below) for key, below in fields.named("initiatives").items()}
    selectors = {key: _selector(key, below, defaults) for key, below in fields.named("selectors").items()}
    fields.done()
    if not selectors and not problems:
        fields.problem("selectors", "registry.selectors: no selector is declared")
    if not problems:
        _check_references(name, initiatives, selectors, problems)
    if problems:
        raise RegistryError.from_problems(sorted(problems, key=lambda problem: problem.line))
    sha256 = hashlib.sha256((root / name).read_bytes()).hexdigest()
    return Registry(name, sha256, initiatives, selectors, _frozen(root, selectors), ignored)


def find_selector(registry: Registry, name: str) -> Selector:
    """The selector of that name.

    Raises:
        RegistryError: There is none; the nearest names are offered.
    """
    try:
        return registry.selectors[name]
    except KeyError:
        hint = nearest(name, list(registry.selectors))
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


def _common(fields: Fields, base: dict[str, Any], *, adding: bool) -> dict[str, Any]:
    """Read what both the defaults and a selector may set; a selector adds to the variables and plugins of its base."""
    repeat, expect = fields.child("repeat"), fields.child("expect")
    values = {
        "env": base["env"] | fields.pairs("env"),
        "pass_env": fields.texts("pass_env", () if adding else base["pass_env"]),
        "pytest_args": fields.texts("pytest_args", base["pytest_args"]),
        "plugins": fields.texts("plugins"),
        "budget_s": fields.number("budget_s", base["budget_s"], least=0.1),
        "repeat_red": repeat.whole("red", base["repeat_red"], least=1),
        "repeat_green": repeat.whole("green", base["repeat_green"], least=1),
        "max_skipped": expect.whole("skipped", base["max_skipped"]),
        "max_xfailed": expect.whole("xfailed", base["max_xfailed"]),
    }
    for key in ("pass_env", "plugins") if adding else ():
        values[key] = tuple(dict.fromkeys(base[key] + values[key]))
    repeat.done()
    expect.done()
    return values


def _defaults(fields: Fields) -> dict[str, Any]:
    values = _common(fields, DEFAULTS, adding=False)
    values["tests_roots"] = fields.texts("tests_roots", ("tests",))
    fields.done()
    return values


def _initiative(name: str, fields: Fields) -> Initiative:
    if not NAME.match(name):
        fields.problem("", f"initiatives: '{name}' cannot name a folder")
    plan = fields.text("plan")
    _inside(fields, "plan", [plan])
    found = Initiative(name, fields.text("title", ""), plan, fields.text("active_phase", ""), fields.mapping.line)
    fields.done()
    return found


def _selector(name: str, fields: Fields, defaults: dict[str, Any]) -> Selector:
    if not NAME.match(name):
        fields.problem("", f"selectors: '{name}' must be letters, digits, '.', '_' and '-'")
    log = fields.child("log")
    stem = re.sub(r"[^A-Za-z0-9]+", "_", name)
    phase = fields.text("phase")
    selector = Selector(
        name=name,
        initiative=fields.text("initiative"),
        phase=phase,
        category=fields.text("category"),
        title=fields.text("title", ""),
        select=fields.required_texts("select"),
        k=fields.text("k", ""),
        m=fields.text("m", ""),
        count=_count(fields),
        role=fields.text("role", "guard", among=("guard", "target")),
        state=fields.text("state", "live", among=("live", "planned")),
        red=_red(fields.child("red")) if fields.has("red") else None,
        protects=fields.texts("protects"),
        product=fields.texts("product"),
        test_support=fields.texts("test_support"),
        artifacts=tuple(_artifact(below) for below in fields.children("artifacts")),
        log_red=log.text("red", f"pytest_{stem}_red.log"),
        log_green=log.text("green", f"pytest_{stem}_green.log"),
        log_guard=log.text("guard", f"pytest_{stem}.log"),
        subdir=fields.text("subdir", f"phase_{phase.lower()}"),
        tests_roots=defaults["tests_roots"],
        line=fields.mapping.line,
        **_common(fields, defaults, adding=True),
    )
    _check_selector(selector, fields, log)
    log.done()
    fields.done()
    return selector


def _check_selector(selector: Selector, fields: Fields, log: Fields) -> None:
    if selector.role == "target" and selector.state == "live" and selector.red is None:
        fields.problem("role", f"{fields.where}: a live target needs 'red' with its reasons")
    if selector.role == "guard" and selector.red is not None:
        fields.problem("red", f"{fields.where}.red: a guard has no RED; write role: target")
    if any(plugin in ("xdist", "xdist.plugin") for plugin in selector.plugins):
        fields.problem("plugins", f"{fields.where}.plugins: xdist splits the witness; run selectors in one process")
    _inside(fields, "select", [part.partition("::")[0] for part in selector.select])
    _inside(fields, "subdir", [selector.subdir])
    if not NAME.match(selector.subdir):
        fields.problem("subdir", f"{fields.where}.subdir: '{selector.subdir}' must be one plain folder name")
    for mode in (RED, GREEN, GUARD):
        if not NAME.match(selector.log_name(mode)) or not selector.log_name(mode).endswith(".log"):
            log.problem(mode.name, f"{log.where}.{mode}: expected a plain file name that ends in .log")


def _inside(fields: Fields, key: str, paths: Iterable[str]) -> None:
    for path in paths:
        if path and (PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\\" in path):
            fields.problem(key, f"{fields.where}.{key}: '{path}' must be relative to the repository, without '..'")


def _count(fields: Fields) -> Count:
    if isinstance(fields.mapping.get("count"), int):
        exact = fields.whole("count", 1, least=1)
        return Count(exact, exact)
    below = fields.child("count")
    least = below.whole("min", 1, least=1)
    most = below.whole("max", least, least=least) if below.has("max") else None
    below.done()
    return Count(least, most)


def _red(fields: Fields) -> RedSpec:
    accept = fields.texts("accept", ("assertion",), among=ACCEPTABLE)
    reasons = []
    for below in fields.children("reasons"):
        reasons.append(
            Rule(
                tests=below.text("tests", "*"),
                type=below.text("type"),
                match=below.regex("match"),
                raised_in=below.text("raised_in", "tests", among=PLACES),
            )
        )
        below.done()
    if not reasons:
        fields.problem("reasons", f"{fields.where}: at least one reason (type, match, raised_in) is needed")
    fields.done()
    return RedSpec(accept, tuple(reasons))


def _artifact(fields: Fields) -> ArtifactSpec:
    spec = ArtifactSpec(
        fields.text("glob"), fields.whole("min_bytes", 1, least=0), fields.whole("min_count", 1, least=1)
    )
    _inside(fields, "glob", [spec.glob])
    fields.done()
    return spec


def _check_references(
    name: str, initiatives: dict[str, Initiative], selectors: dict[str, Selector], problems: list[Problem]
) -> None:
    places: dict[tuple[str, str], str] = {}
    for selector in selectors.values():

        def problem(message: str, selector: Selector = selector) -> None:
            problems.append(Problem(name, selector.line, f"selectors.{selector.name}: {message}"))

        if selector.initiative not in initiatives:
            problem(f"unknown initiative '{selector.initiative}'{nearest(selector.initiative, list(initiatives))}")
        for guard in selector.protects:
            if guard not in selectors:
                problem(f"protects the unknown selector '{guard}'{nearest(guard, list(selectors))}")
            elif guard == selector.name:
                problem("cannot protect itself")
        place = selector.initiative, selector.subdir.casefold()
        if place in places:
            problem(f"writes into the same folder '{selector.subdir}' as {places[place]}; give it a 'subdir'")
        places.setdefault(place, selector.name)


def _frozen(root: Path, selectors: dict[str, Selector]) -> dict[str, tuple[str, ...]]:
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
