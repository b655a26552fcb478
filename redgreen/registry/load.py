"""Read the registry into frozen values; every mistake is named with its line."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from redgreen.codec import from_json
from redgreen.errors import RegistryError
from redgreen.registry.fields import IncompleteError, Reader, declare, suggest
from redgreen.registry.layout import read_layout
from redgreen.registry.model import NAME, Defaults, Initiative, Registry, Selector
from redgreen.registry.yamlfile import LineDict, parse_yaml


def load_registry(root: Path) -> Registry:
    """Read the registry of the project in a folder, with the frozen ids beside it.

    Raises:
        RegistryError: The file is missing or wrong; `problems` holds every finding.
    """
    layout = read_layout(root)
    registry = parse_registry(read_registry(root, layout.registry), layout.registry)
    return replace(registry, frozen=_read_frozen(root, layout.lock, registry.selectors))


def read_registry(root: Path, name: str) -> bytes:
    """Read the bytes of the registry.

    Raises:
        RegistryError: It is missing, or cannot be read.
    """
    try:
        return (root / name).read_bytes()
    except FileNotFoundError:
        raise RegistryError(f"{name}: there is no such file; `redgreen init` makes one") from None
    except OSError as error:
        raise RegistryError(f"{name}: cannot be read as text ({type(error).__name__})") from None


def parse_registry(data: bytes, name: str) -> Registry:
    """Parse a registry; messages call it `name`.

    Raises:
        RegistryError: It is wrong; `problems` holds every finding.
    """
    top, reader = parse_yaml(data, name), Reader(name)
    document = _Document(0, ())
    with suppress(IncompleteError):
        document = reader.read(_Document, top, "registry")
    defaults = _read_defaults(reader, top)
    initiatives, selectors = {}, {}
    for key, entry in _list_entries(reader, top, "initiatives"):
        with suppress(IncompleteError):
            initiatives[key] = reader.read(Initiative, entry, f"initiatives.{key}", name=key, line=entry.line)
    for key, entry in _list_entries(reader, top, "selectors"):
        with suppress(IncompleteError):
            selectors[key] = _read_selector(reader, key, entry, defaults)
    if not selectors and not reader.problems:
        reader.note(top.line, "registry.selectors: no selector is declared; `redgreen add NAME TEST` writes one")
    if not reader.problems:
        _check_references(reader, initiatives, selectors)
    if reader.problems:
        raise RegistryError.from_problems(sorted(reader.problems, key=lambda problem: problem.line))
    return Registry(name, hashlib.sha256(data).hexdigest(), initiatives, selectors, {}, document.ignored)


def find_selector(registry: Registry, name: str) -> Selector:
    """Find the selector of that name.

    Raises:
        RegistryError: It does not exist; the nearest names are offered.
    """
    try:
        return registry.selectors[name]
    except KeyError:
        hint = suggest(name, registry.selectors)
        raise RegistryError(f"{registry.file}: no selector is called '{name}'{hint}") from None


def _check_schema(value: int) -> None:
    if value != 1:
        raise ValueError("this redgreen reads schema 1")


@dataclass(frozen=True, slots=True)
class _Document:
    """The keys of the file; the mappings below the last three are read on their own."""

    schema: int = field(metadata=declare(check=_check_schema))
    ignored: tuple[str, ...] = field(metadata=declare(()))
    defaults: Any = field(default=None, metadata=declare(None))
    initiatives: Any = field(default=None, metadata=declare(None))
    selectors: Any = field(default=None, metadata=declare(None))


def _read_defaults(reader: Reader, top: LineDict) -> Defaults:
    where = "registry.defaults"
    try:
        return reader.read(Defaults, reader.read_child(top, "defaults", where), where)
    except IncompleteError:
        return reader.read(Defaults, LineDict(0), where)


def _list_entries(reader: Reader, top: LineDict, key: str) -> Iterator[tuple[str, LineDict]]:
    """Yield the named mappings below a key; the names become names of folders and files."""
    entries = reader.read_child(top, key, f"registry.{key}")
    for name, entry in entries.items():
        line = entries.find_line(name)
        if not NAME.match(name):
            reader.note(line, f"{key}: '{name}' must be letters, digits, '.', '_' and '-'")
        yield name, reader.read_mapping(entry, f"{key}.{name}", line)


def _read_selector(reader: Reader, name: str, entry: LineDict, defaults: Defaults) -> Selector:
    """Read one selector; it adds to the variables and plugins of the defaults, and replaces the rest."""
    where = f"selectors.{name}"
    if type(count := entry.get("count")) is int:
        entry["count"] = LineDict(entry.find_line("count"), min=count, max=count)
    stem = re.sub(r"[^A-Za-z0-9]+", "_", name)
    base = {each.name: getattr(defaults, each.name) for each in fields(Defaults)}
    base |= {"env": {}, "pass_env": (), "plugins": (), "log_red": f"pytest_{stem}_red.log"}
    base |= {"log_green": f"pytest_{stem}_green.log", "log_guard": f"pytest_{stem}.log"}
    own = reader.read(Selector, entry, where, base, name=name, tests_roots=defaults.tests_roots, line=entry.line)
    selector = replace(
        own,
        env=defaults.env | own.env,
        pass_env=tuple(dict.fromkeys(defaults.pass_env + own.pass_env)),
        plugins=tuple(dict.fromkeys(defaults.plugins + own.plugins)),
        subdir=own.subdir or f"phase_{own.phase.lower()}",
    )
    if selector.role == "target" and selector.state == "live" and selector.red is None:
        reader.note(entry.find_line("role"), f"{where}: a live target needs 'red' with its reasons")
    if selector.role == "guard" and selector.red is not None:
        reader.note(entry.find_line("red"), f"{where}.red: a guard has no RED; write role: target")
    if not NAME.match(selector.subdir):
        message = f"{where}.subdir: '{selector.subdir}' must be one plain folder name"
        reader.note(entry.find_line("subdir"), message)
    return selector


def _check_references(reader: Reader, initiatives: dict[str, Initiative], selectors: dict[str, Selector]) -> None:
    places: dict[tuple[str, str], str] = {}
    for selector in selectors.values():
        found = []
        if selector.initiative not in initiatives:
            found.append(f"unknown initiative '{selector.initiative}'{suggest(selector.initiative, initiatives)}")
        for guard in selector.protects:
            if guard not in selectors:
                found.append(f"protects the unknown selector '{guard}'{suggest(guard, selectors)}")
            elif guard == selector.name:
                found.append("cannot protect itself")
        place = selector.initiative, selector.subdir.casefold()
        if place in places:
            found.append(f"writes into the same folder '{selector.subdir}' as {places[place]}; give it a 'subdir'")
        places.setdefault(place, selector.name)
        for message in found:
            reader.note(selector.line, f"selectors.{selector.name}: {message}")


def _read_frozen(root: Path, name: str, selectors: dict[str, Selector]) -> dict[str, tuple[str, ...]]:
    try:
        lock = json.loads((root / name).read_text(encoding="utf-8"))
        frozen = from_json(dict[str, tuple[str, ...]], lock["selectors"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, LookupError):
        raise RegistryError(f"{name}: not readable; write it again with `redgreen lint --freeze`") from None
    for key in frozen:
        if key not in selectors:
            raise RegistryError(f"{name}: holds the unknown selector '{key}'; run `redgreen lint --freeze`")
    return frozen
