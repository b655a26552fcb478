"""What to write into the registry where pytest could not run as the project's own configuration asks."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final

from redgreen.codes import Verdict
from redgreen.evidence.record import Result
from redgreen.registry.model import Registry
from redgreen.run.logfile import ESCAPES

__all__ = ["Remedy", "find_remedies", "is_installed", "list_plugins", "list_ways_on"]

# plugins that run a test more than once, or elsewhere: what a run shows would not be what happened
REFUSED: Final = {
    "flaky": "it runs failed tests again",
    "pytest_forked": "it runs tests in processes of their own",
    "xdist": "it runs tests in processes of their own",
}
MOST_NAMED: Final = 4  # skipped tests that are listed by name
NEUTRAL: Final = "take it out of pytest's configuration, or the whole of it out of runs: `pytest_args: [-o, addopts=]`"


@dataclass(frozen=True, slots=True)
class Remedy:
    """What pytest missed and what to do about it: a plugin to list, or a folder to import from, where that helps."""

    text: str
    plugin: str = ""
    folder: str = ""

    def __str__(self) -> str:
        return self.text


def is_installed(plugin: str) -> bool:
    """Return whether pytest could load a plugin of that name: a module, or a name that a distribution registers."""
    if plugin in {point.name for point in entry_points(group="pytest11")}:
        return True
    return importlib.util.find_spec(plugin.partition(".")[0]) is not None


def list_plugins() -> dict[str, str]:
    """Return the source of each installed plugin by its name for pytest's `-p`, redgreen's own left out."""
    found = {}
    for point in entry_points(group="pytest11"):
        found[point.name] = "\n".join(_read_sources(point))
    return found


def _read_sources(point: EntryPoint) -> Iterator[str]:
    """Read the files of a plugin's module without importing it."""
    top, *rest = point.module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    places = [Path(place).joinpath(*rest) for place in spec.submodule_search_locations or ()]
    files = [path for place in places for path in (*sorted(place.glob("*.py")), place.with_suffix(".py"))]
    for path in files or ([Path(spec.origin)] if spec.origin else []):
        if path.is_file():
            yield path.read_bytes().decode("utf-8", "replace")


def find_remedies(output: str, root: Path) -> list[Remedy]:
    """Find in what pytest printed which options, settings, marks, fixtures, plugins and modules it missed."""
    text = " ".join(ESCAPES.sub("", output).replace("\nE ", "\n").split())  # pytest wraps long lines
    sources = list_plugins()
    found: dict[str, Remedy] = {}
    for pattern, what, sign in SIGNS:
        for match in re.finditer(pattern, text):
            for name in _split(match[1]):
                remedy = _find_plugin(what.format(name), sign(name), sources)
                found.setdefault(remedy.plugin or remedy.text, remedy)
    for match in re.finditer(r"Missing required plugins: ([\w.\-, ]+)", text):
        for name in _split(match[1]):
            remedy = _require(name)
            found.setdefault(remedy.plugin or remedy.text, remedy)
    for match in re.finditer(r"No module named '(\w+)", text):
        name = match[1]
        for folder in sorted({path.parent.name for path in (*root.glob(f"*/{name}"), *root.glob(f"*/{name}.py"))}):
            told = f"{name} lies in {folder}: install the project, or write `env: {{PYTHONPATH: {folder}}}`"
            found.setdefault(folder, Remedy(told, folder=folder))
    if "async def functions are not natively supported" in text:
        known = [name for name in ("asyncio", "anyio") if name in sources]
        told = f"list one that runs them under `plugins`: {', '.join(known)}" if known else "install pytest-asyncio"
        found["async"] = Remedy(f"`async def` tests were not run: {told}")
    return list(found.values())


def list_ways_on(result: Result, output: str, registry: Registry, root: Path) -> list[str]:
    """List what to write for an invalid run, with the file to write it into."""
    selector = registry.selectors[result.selector]
    skipped = [reason.removesuffix(" skipped") for reason in result.reasons]  # tests, and files as a whole
    xfailed = [row.id for row in result.tests if row.outcome == "xfailed"]
    ways = []
    if result.verdict is Verdict.SKIPPED and any(row.outcome != "skipped" for row in result.tests):
        named = json.dumps(skipped) if len(skipped) <= MOST_NAMED else '["*GLOB*"]'
        ways.append(f"`may_skip: {named}`, or `expect: {{skipped: {len(skipped)}}}`")
    elif result.verdict is Verdict.XFAILED:
        ways.append(f"`expect: {{xfailed: {len(xfailed)}}}`")
    elif result.verdict is Verdict.TIMEOUT:
        ways.append(f"`budget_s: {selector.budget_s * 5:g}`, if the tests may take that long")
    ways = [f"{way} (below selectors.{selector.name} in {registry.file})" for way in ways]
    found = [str(remedy) for remedy in find_remedies(output, root)]
    return [*ways, *(f"{text} (below defaults in {registry.file})" if "`" in text else text for text in found)]


def _split(text: str) -> list[str]:
    """Split a list of options or names; the value of an option is dropped."""
    words = [word.partition("=")[0].strip(",'\"") for word in text.split()]
    options = [word for word in words if word.startswith("-")]
    return options or [word for word in words if word]


def _mention(name: str) -> re.Pattern[str]:
    return re.compile(rf"[\"']{re.escape(name)}[\"']")


def _mark(name: str) -> re.Pattern[str]:
    return re.compile(rf"[\"']{re.escape(name)}\s*[(:]")


def _fixture(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?:def {re.escape(name)}\(|^{re.escape(name)}\s*=\s*pytest\.fixture)", re.MULTILINE)


SIGNS: Final[tuple[tuple[str, str, Callable[[str], re.Pattern[str]]], ...]] = (
    (r"unrecognized arguments: ((?:-\S+ ?)+)", "the option {}", _mention),
    (r"Unknown config options?: ([\w, ]+?)(?= |$)", "the setting {}", _mention),
    (r"'(\w+)' not found in `markers`", "the mark {}", _mark),
    (r"Unknown pytest\.mark\.(\w+)", "the mark {}", _mark),
    (r"fixture '(\w+)' not found", "the fixture {}", _fixture),
)


def _find_plugin(what: str, sign: re.Pattern[str], sources: dict[str, str]) -> Remedy:
    for name, source in sources.items():
        if sign.search(source):
            if name in REFUSED:
                return Remedy(f"{what} is of the plugin {name}, which cannot be used ({REFUSED[name]}): {NEUTRAL}")
            return Remedy(f"{what} is of the plugin {name}: list it, `plugins: [{name}]`", name)
    return Remedy(f"{what} is of no installed plugin: install that one, or declare it in pytest's configuration")


def _require(distribution: str) -> Remedy:
    """Find the names under which a required distribution registers its plugins."""
    wanted = re.sub(r"[-_.]+", "-", distribution).lower()
    for point in entry_points(group="pytest11"):
        if point.dist is not None and re.sub(r"[-_.]+", "-", point.dist.name).lower() == wanted:
            return Remedy(f"pytest requires {distribution}: list it, `plugins: [{point.name}]`", point.name)
    return Remedy(f"pytest requires {distribution}, which is not installed: install it")
