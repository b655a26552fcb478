"""`drift`: check whether scans are still like those that a network was trained for, and whether it matters if not."""

from __future__ import annotations

import argparse
import json
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho_torch.cli.commands import COMMANDS
from ptycho_torch.cli.config_file import print_config
from ptycho_torch.cli.infer import add_network, find_network
from ptycho_torch.cli.job_words import check_words_of
from ptycho_torch.cli.options import Parser, add_config, add_settings, collect_settings
from ptycho_torch.cli.shared import PLACE, add_input, add_machine, add_quiet, read_input, show_progress
from ptycho_torch.cli.tables import print_table
from ptycho_torch.config import DataSettings, DriftSettings, RegistrySettings
from ptycho_torch.config.fields import Settings
from ptycho_torch.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from ptycho_torch.drift.features import ScanFeatures
    from ptycho_torch.drift.judgement import Judgement

# of a settings file
SECTIONS = ("data", "registry", "drift")
# a scan has drifted so far that it matters
DRIFT = 4
_REFERENCE = Path("drift.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of the command, each with options of its own."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=Parser)
    fit = _add_action(actions, "fit", "measure the scans that a network was trained for, as the reference", _fit)
    _add_measurement(fit)
    fit.add_argument(
        "--output", type=Path, default=_REFERENCE, metavar="FILE", help=f"file to write (default: {_REFERENCE})"
    )
    fit.add_argument("--overwrite", action="store_true", help="replace an existing file")
    check = _add_action(actions, "check", "compare scans with the reference", _check)
    _add_measurement(check)
    _add_history(check)
    add_settings(check, DriftSettings)
    group = check.add_argument_group("Retraining")
    group.add_argument(
        "--add_job",
        metavar="COMMAND",
        help="command to add to a queue if the drift matters and it does not wait or run there already, such as "
        "'train --data scans --output_dir trained-{time}'; see docs/jobs.md",
    )
    group.add_argument(
        "--queue", type=Path, default=Path("jobs.sqlite"), metavar="FILE", help="the queue (default: jobs.sqlite)"
    )
    report = _add_action(actions, "report", "draw all checks over time", _report)
    _add_history(report)
    add_settings(report, DriftSettings, only=("growth",))
    report.add_argument(
        "--output", type=Path, default=Path("drift.png"), metavar="FILE", help="picture to write (default: drift.png)"
    )
    report.add_argument("--overwrite", action="store_true", help="replace an existing file")
    add_quiet(report)
    for action in (fit, check, report):
        action.add_argument("--json", action="store_true", help="print the result as JSON")
        add_config(action)


def _add_action(
    actions: argparse._SubParsersAction[Parser], name: str, summary: str, act: Callable[[argparse.Namespace], int]
) -> Parser:
    parser = actions.add_parser(name, help=summary, description=summary)
    parser.set_defaults(act=act)
    return parser


def _add_measurement(parser: argparse.ArgumentParser) -> None:
    add_network(parser)
    add_input(parser)
    add_machine(parser)
    add_settings(parser, RegistrySettings, only=PLACE)


def _add_history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reference", type=Path, default=_REFERENCE, metavar="FILE", help=f"the reference (default: {_REFERENCE})"
    )
    parser.add_argument(
        "--history",
        type=Path,
        metavar="FILE",
        help="file with a line for each check (default: that of the reference, ending in .history.jsonl)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked; returns 4 if a scan has drifted so far that it matters."""
    sections: dict[str, Settings] = {}
    if hasattr(arguments, "data"):
        sections["data"] = collect_settings(arguments, DataSettings)
        sections["registry"] = collect_settings(arguments, RegistrySettings, only=PLACE)
    if hasattr(arguments, "growth"):
        sections["drift"] = _collect(arguments)
    if arguments.print_config:
        print_config(**sections)
        return 0
    act: Callable[[argparse.Namespace], int] = arguments.act
    return act(arguments)


def _collect(arguments: argparse.Namespace) -> DriftSettings:
    names = [name for name in DriftSettings.find_types() if hasattr(arguments, name)]
    return collect_settings(arguments, DriftSettings, only=names)


def _fit(arguments: argparse.Namespace) -> int:
    _check_free(arguments)
    network, features = _measure(arguments)
    from ptycho_torch.drift.reference import Reference

    reference = Reference.of(network, features)
    reference.write(arguments.output)
    if arguments.json:
        scans = [{"scan": scan.name, "spread": scan.spread, "misfit": scan.misfit} for scan in features]
        print(json.dumps({"reference": str(arguments.output), "scans": scans}, indent=2))
        return 0
    rows = [(scan.name, f"{len(scan.values['dose'])}", f"{scan.spread:.3g}", f"{scan.misfit:.3g}") for scan in features]
    print_table(("scan", "patterns", "spread", "misfit"), rows)
    print(f"reference: {arguments.output}, of {len(features)} scan{'s' if len(features) > 1 else ''}")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from ptycho_torch.drift.history import append_check
    from ptycho_torch.drift.judgement import judge
    from ptycho_torch.drift.reference import Reference
    from ptycho_torch.storage.writing import check_writable

    settings = _collect(arguments)
    words = _read_job(arguments)
    reference = Reference.read(arguments.reference)
    history = _find_history(arguments)
    check_writable(history)
    network, features = _measure(arguments)
    if network != reference.network:
        raise ConfigError(f"{arguments.reference}: is the reference of another network; make one with `drift fit`")
    found = [judge(reference, scan, settings) for scan in features]
    for judgement in found:
        append_check(history, judgement, time.time())
    has_drifted = any(judgement.word == "drift" for judgement in found)
    job = _add_to_queue(arguments, words) if words and has_drifted else ""
    if arguments.json:
        print(json.dumps({"scans": [judgement.to_dict() for judgement in found], "job": job or None}, indent=2))
    else:
        _print(found)
        if job:
            print(job)
    return DRIFT if has_drifted else 0


def _report(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from ptycho_torch.drift.history import draw_history, read_history
    from ptycho_torch.pictures.figure import save_figure

    checks = read_history(_find_history(arguments))
    if arguments.json:
        print(json.dumps({"checks": [asdict(check) for check in checks]}, indent=2))
        return 0
    _check_free(arguments)
    save_figure(draw_history(checks, _collect(arguments).growth), arguments.output)
    counts = {word: sum(check.word == word for check in checks) for word in ("as before", "harmless shift", "drift")}
    print(f"{len(checks)} checks: " + ", ".join(f"{word} {count}" for word, count in counts.items()))
    print(f"picture: {arguments.output}")
    return 0


def _measure(arguments: argparse.Namespace) -> tuple[str, list[ScanFeatures]]:
    """What a network is known by, and the features of the scans that the options name."""
    scans = read_input(arguments, collect_settings(arguments, DataSettings), several=True)
    source = find_network(arguments)
    from ptycho_torch.runtime.device import find_device
    from ptycho_torch.runtime.ranks import hash_arrays
    from ptycho_torch.runtime.threads import set_threads

    set_threads(arguments.threads)
    from ptycho_torch.drift.features import measure_features
    from ptycho_torch.models.bundle import open_network

    trained = open_network(source)

    device = find_device(arguments.device)
    progress = None if arguments.quiet else show_progress("features", len(scans), "scan")
    features = []
    for number, scan in enumerate(scans):
        features.append(measure_features(trained, scan, device))
        if progress:
            progress(number + 1, None)
    network = hash_arrays(*(value.cpu().numpy() for value in trained.generator.state_dict().values()))
    return network, features


def _check_free(arguments: argparse.Namespace) -> None:
    """Raise OutputError if a file exists that may not be replaced, or cannot be written."""
    from ptycho_torch.storage.writing import check_writable

    if arguments.output.exists() and not arguments.overwrite:
        raise OutputError(f"{arguments.output}: already exists; name another file or add --overwrite")
    check_writable(arguments.output)


def _find_history(arguments: argparse.Namespace) -> Path:
    found: Path = arguments.history or arguments.reference.with_suffix(".history.jsonl")
    return found


def _read_job(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The words of the job to add; none without one."""
    if arguments.add_job is None:
        return ()
    try:
        words = shlex.split(arguments.add_job)
    except ValueError as error:
        raise ConfigError(f"--add_job: {error}") from error
    if not words:
        raise ConfigError("--add_job is empty; it must be a command")
    return check_words_of(COMMANDS, words).words


def _add_to_queue(arguments: argparse.Namespace, words: tuple[str, ...]) -> str:
    """Add a job unless the same one waits or runs already; returns what was done."""
    from ptycho_torch.jobs.queue import Queue

    queue = Queue(arguments.queue, create=True)
    for job in queue.list_jobs():
        if job.words == words and job.folder == Path.cwd() and job.state in ("waiting", "running"):
            return f"job {job.number}: is {job.state} already"
    return f"job {queue.add(words, Path.cwd()).number}: added"


def _print(found: list[Judgement]) -> None:
    rows = []
    for judgement in found:
        shifted = [f"{shift.name} {shift.effect:+.2g}" for shift in judgement.shifts if shift.is_shifted]
        growth = f"{100 * judgement.growth:+.0f} %", f"{100 * judgement.least_growth:+.0f} %"
        rows.append((ascii(judgement.scan)[1:-1], judgement.word, *growth, ", ".join(shifted)))
    print_table(("scan", "result", "error", "at least", "shifts in standard deviations"), rows)
