"""`models`: register trained networks, list and compare them, and choose the one in production."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptycho_torch.cli.command import make_plain
from ptycho_torch.cli.config_file import print_config
from ptycho_torch.cli.options import Parser, add_config, add_settings, collect_settings, find_options
from ptycho_torch.cli.shared import (
    PLACE,
    add_quiet,
    add_run_options,
    prepare_run,
    read_input,
    show_progress,
    start_record,
)
from ptycho_torch.cli.tables import print_table
from ptycho_torch.config import DataSettings, RegistrySettings
from ptycho_torch.errors import require_torch

if TYPE_CHECKING:
    from ptycho_torch.data.scan import Scan
    from ptycho_torch.registry import Comparison, Health, Registry, Version
    from ptycho_torch.registry.promotion import Change, Compare

_log = logging.getLogger(__name__)

# of a settings file
SECTIONS = ("data", "registry")
# exit code of a health check that did not pass
UNHEALTHY = 1

_HEALTH = (*PLACE, "tolerance")
_COMPARISON = (*PLACE, "chance", "least_gain")
_MODEL = "model: NAME@ALIAS or NAME/VERSION; NAME alone is the version {0}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of the command, each with its options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Parser)

    def add(name: str, summary: str, run: Callable[..., int], settings: tuple[str, ...]) -> argparse.ArgumentParser:
        action: argparse.ArgumentParser = actions.add_parser(name, help=summary, description=summary)
        action.set_defaults(run_action=run, action_parser=action, action_settings=settings)
        action.add_argument("--json", action="store_true", help="print the result as JSON")
        add_settings(action, RegistrySettings, only=settings)
        return action

    register = add("register", "register a trained network as the next version of a model", _register, PLACE)
    register.add_argument("name", metavar="NAME", help="name of the model; the first version creates it")
    register.add_argument("network", type=Path, metavar="PATH", help="folder of a training, checkpoint, or bundle")
    listing = add("list", "list models and their versions", _list, PLACE)
    listing.add_argument("name", metavar="NAME", nargs="?", help="name of the model (default: all)")
    show = add("show", "show what a version is and was trained on", _show, PLACE)
    show.add_argument("model", metavar="MODEL", help=_MODEL.format("in production"))
    compare = add("compare", "compare two versions on scans", _compare, _COMPARISON)
    compare.add_argument("first", metavar="FIRST", help=_MODEL.format("in production"))
    compare.add_argument("second", metavar="SECOND", help=_MODEL.format("that is the candidate"))
    add_run_options(compare, "comparison_outputs")
    promote = add("promote", "put a version into production", _promote, tuple(RegistrySettings.find_types()))
    promote.add_argument("model", metavar="MODEL", help=_MODEL.format("that is the candidate"))
    promote.add_argument(
        "--force",
        action="store_true",
        help="without a comparison with the version in production, or although it is worse; never if it is unhealthy",
    )
    add_run_options(promote, "promotion_outputs")
    back = add("roll-back", "put the version before the one in production into production again", _roll_back, _HEALTH)
    back.add_argument("name", metavar="NAME", help="name of the model")
    check = add("check", "check that a version can be used", _check, _HEALTH)
    check.add_argument("model", metavar="MODEL", help=_MODEL.format("in production"))
    for action in (register, listing, show, back, check):
        add_quiet(action)
        add_config(action)


def run(arguments: argparse.Namespace) -> int:
    """Run the action; returns 1 if a health check did not pass."""
    settings = collect_settings(arguments, RegistrySettings, only=arguments.action_settings)
    if arguments.print_config:
        reads = {"data": collect_settings(arguments, DataSettings)} if hasattr(arguments, "data") else {}
        print_config(**reads, registry=settings)
        return 0
    require_torch()
    options = find_options(arguments.action_parser)
    arguments.asked = {name: make_plain(getattr(arguments, name)) for name in options}
    from ptycho_torch.registry import Registry

    code: int = arguments.run_action(arguments, Registry(settings))
    return code


def _register(arguments: argparse.Namespace, registry: Registry) -> int:
    version = registry.register(arguments.name, arguments.network)
    if arguments.json:
        _print_json(version.to_dict())
    else:
        print(f"registered: {version} in {registry.place}")
        _print_versions([version])
    return 0


def _list(arguments: argparse.Namespace, registry: Registry) -> int:
    versions = registry.list_versions(arguments.name)
    if arguments.json:
        _print_json({"versions": [version.to_dict() for version in versions]})
    elif versions:
        _print_versions(versions)
    else:
        print(f"{registry.place}: contains no models")
    return 0


def _show(arguments: argparse.Namespace, registry: Registry) -> int:
    version = registry.find(arguments.model)
    folder, manifest = registry.fetch(version)
    files = {name: f"{stored.size} bytes, sha256 {stored.sha256}" for name, stored in manifest.files.items()}
    if arguments.json:
        _print_json({**version.to_dict(), "folder": str(folder), "files": files, "versions": manifest.versions})
        return 0
    rows = [("model", str(version)), ("aliases", ", ".join(version.aliases))]
    rows += [("registered", _describe_time(version)), ("seed", str(manifest.seed)), ("folder", str(folder))]
    rows += [(name, str(value)) for name, value in manifest.network.items()]
    rows += [("data", f"{name} sha256 {sha256}") for name, sha256 in manifest.data]
    rows += [(name, f"{value:.6g}") for name, value in manifest.metrics.items()]
    rows += list(files.items())
    rows += [("versions", ", ".join(f"{name} {number}" for name, number in manifest.versions.items()))]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name.ljust(width)}  {_escape(value)}".rstrip())
    return 0


def _compare(arguments: argparse.Namespace, registry: Registry) -> int:
    from ptycho_torch.registry import Reference
    from ptycho_torch.registry.reference import CANDIDATE

    scans = _read_scans(arguments)
    versions = registry.find(arguments.first), registry.find(Reference.parse(arguments.second, alias=CANDIDATE))
    found = _make_compare(arguments, registry, scans)(*versions)
    if arguments.json:
        _print_json(found.to_dict())
    else:
        _print_comparison(found)
        print(f"pictures: {arguments.output_dir}")
        print(f"verdict: {found.verdict}")
    return 0


def _promote(arguments: argparse.Namespace, registry: Registry) -> int:
    from ptycho_torch.registry import Reference, promote
    from ptycho_torch.registry.reference import CANDIDATE

    scans = _read_scans(arguments) if arguments.data is not None else []
    version = registry.find(Reference.parse(arguments.model, alias=CANDIDATE))
    verdicts: list[str] = []

    def compare(first: Version, second: Version) -> Comparison:
        found = _make_compare(arguments, registry, scans)(first, second)
        verdicts.append(found.verdict)
        return found

    change = promote(registry, version, compare if scans else None, force=arguments.force)
    if not arguments.json:
        for verdict in verdicts:
            print(f"verdict: {verdict}")
    return _print_change(arguments, change)


def _roll_back(arguments: argparse.Namespace, registry: Registry) -> int:
    from ptycho_torch.registry import roll_back

    return _print_change(arguments, roll_back(registry, arguments.name))


def _check(arguments: argparse.Namespace, registry: Registry) -> int:
    from ptycho_torch.registry import check_version

    health = check_version(registry, registry.find(arguments.model))
    if arguments.json:
        _print_json(health.to_dict())
    else:
        _print_health(health)
    return 0 if health.passed else UNHEALTHY


def _read_scans(arguments: argparse.Namespace) -> list[Scan]:
    reading = collect_settings(arguments, DataSettings)
    scans = read_input(arguments, reading, several=True)
    prepare_run(arguments)
    return scans


def _make_compare(arguments: argparse.Namespace, registry: Registry, scans: list[Scan]) -> Compare:
    """Make the function that compares two versions on scans and writes what it found to the output folder."""

    def compare(first: Version, second: Version) -> Comparison:
        from ptycho_torch.formats import list_scan_files
        from ptycho_torch.registry import compare_networks, find_seen, load_version
        from ptycho_torch.registry.report import write_comparison

        files = list_scan_files(arguments.data)
        for version in (first, second):
            for name in find_seen(registry, version, files):
                _log.warning("%s was trained on %s, and may be worse on other scans than it is there", version, name)
        networks = load_version(registry, first), load_version(registry, second)
        advance = None if arguments.quiet else show_progress("compare", len(scans), "scan")
        found = compare_networks(
            (str(first), str(second)),
            networks,
            scans,
            registry.settings,
            use_probes=arguments.probe is not None,
            device=arguments.device,
            progress=None if advance is None else lambda done: advance(done, None),
        )
        settings = {
            "data": collect_settings(arguments, DataSettings).to_dict(),
            "registry": registry.settings.to_dict(),
        }
        record = start_record(arguments, settings, files)
        written = write_comparison(found, arguments.output_dir)
        record.finish(results=found.to_dict(), outputs=written)
        return found

    return compare


def _print_comparison(found: Comparison) -> None:
    rows = [
        [_escape(part.scan.name), model, *(f"{figures[name]:.4g}" if name in figures else "" for name in _FIGURES)]
        for part in found.scans
        for model, figures in zip(found.names, part.figures, strict=True)
    ]
    print_table(["scan", "model", *_FIGURES], rows)


_FIGURES = ("complex_error", "complex_correlation", "phase_correlation", "R", "R_floor")


def _print_change(arguments: argparse.Namespace, change: Change) -> int:
    if arguments.json:
        before = None if change.before is None else change.before.to_dict()
        _print_json({"production": change.version.to_dict(), "before": before})
    elif change.before and change.before.number == change.version.number:
        print(f"{change.version} is in production already")
    else:
        print(f"in production: {change.version}" + (f", before: {change.before}" if change.before else ""))
    return 0


def _print_health(health: Health) -> None:
    for finding in health.findings:
        print(f"{'passed' if finding.passed else 'FAILED'}  {finding.name.ljust(8)} {finding.text}")
    print(f"{health.version}: {'healthy' if health.passed else 'NOT healthy'}")


def _print_versions(versions: list[Version]) -> None:
    heads = ("model", "version", "aliases", "registered", "network", "steps", "seed", "validation loss", "data")
    print_table(heads, [_describe_version(version) for version in versions])


def _describe_version(version: Version) -> list[str]:
    loss = version.metrics.get("validation_loss")
    tags = [version.tags.get(name, "") for name in ("network", "steps", "seed")]
    data = ", ".join(part.rpartition(" ")[0] for part in version.tags.get("data", "").split(", "))
    shown = [version.name, str(version.number), ", ".join(version.aliases), _describe_time(version), *tags]
    return [_escape(value) for value in (*shown, "" if loss is None else f"{loss:.5g}", data[:40])]


def _describe_time(version: Version) -> str:
    return f"{version.created:%Y-%m-%d %H:%M} UTC"


def _escape(text: str) -> str:
    """A text of the registry without control characters."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _print_json(values: dict[str, Any]) -> None:
    print(json.dumps(values, indent=2, ensure_ascii=False))
