"""`repeat`: run again what a record describes, into a new folder, and compare the results."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ptycho_torch.cli.command import Command
from ptycho_torch.cli.commands import COMMANDS
from ptycho_torch.cli.options import normalise_options, parse_share
from ptycho_torch.cli.shared import add_quiet, prepare_run
from ptycho_torch.errors import ConfigError, OutputError
from ptycho_torch.migrations.run_records import find_folder
from ptycho_torch.runtime.run_record import find_commit, find_versions, hash_file, read_record
from ptycho_torch.storage.writing import RECORD_NAME

_log = logging.getLogger(__name__)
# where a command writes: a folder, or a file
_PLACES = ("output_dir", "output")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="folder of the run, or its record")
    parser.add_argument(
        "--output_dir", type=Path, metavar="DIR", help="new folder (default: that of the run with -repeated at its end)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the results of an earlier run in the folder")
    parser.add_argument(
        "--tolerance",
        type=parse_share,
        default=0.0,
        metavar="FLOAT",
        help="largest relative difference of numbers that counts as none (default: 0, every bit is the same)",
    )
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check inputs and versions, run again, compare; returns 1 if results differ."""
    source: Path = arguments.run
    is_record = source.suffix == ".json" and not source.is_dir()
    folder, name = (source.parent, source.name) if is_record else (source, RECORD_NAME)
    record = read_record(folder, name)
    record |= {"folder": find_folder(record, str(folder.resolve()))}
    _recover_options(record, folder / name)
    command, settings = _read_command(record, folder / name)
    options = _place_options(command, record, arguments, folder)
    _check_inputs(record, folder / name)
    _warn_of_changes(record)
    namespace = command.make_namespace(options, settings)
    namespace.asked = command.describe_options(namespace)
    target = Path(options.get("output_dir") or Path(options["output"]).parent)
    if "output_dir" in options:
        namespace.threads = record.get("threads") or getattr(namespace, "threads", None)
        prepare_run(namespace)
    code: int = command.module.run(namespace) or 0
    from ptycho_torch.workflows.comparison import compare_folders

    found = compare_folders(folder, target, arguments.tolerance)
    for difference in found.differences:
        print(f"differs: {difference}")
    if found.differences:
        print(f"{target}: differs from {folder} in {len(found.differences)} of {found.compared} places")
        return 1
    print(f"{target}: the same as {folder} in all {found.compared} places that were compared")
    return code


def _read_command(record: Mapping[str, Any], path: Path) -> tuple[Command, dict[str, dict[str, Any]]]:
    command = COMMANDS.get(str(record.get("command")))
    settings, options = record.get("settings"), record.get("options")
    if command is None or not isinstance(settings, dict) or not isinstance(options, dict):
        raise OutputError(f"{path}: does not say how the run was asked for; it cannot be repeated")
    if record.get("status") != "finished":
        raise OutputError(f"{path}: the run has not finished, so that there is nothing to compare with")
    for name, section in command.sections.items():
        values = settings.get(name, {})
        if not isinstance(values, dict):
            raise OutputError(f"{path}: section {name} is not a mapping")
        section.from_dict(values)
    return command, {name: values for name, values in settings.items() if name in command.sections}


def _recover_options(record: dict[str, Any], path: Path) -> None:
    """Add the options to a record that does not state them: they are among its arguments, as are settings.

    Raises:
        OutputError: its arguments are not those of a command, or the folder that its paths are relative to is unknown.
    """
    command, words = COMMANDS.get(str(record.get("command"))), record.get("arguments")
    if record.get("options") is not None:
        return
    if command is None or not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise OutputError(f"{path}: does not say how the run was asked for; it cannot be repeated")
    if record["folder"] is None:
        raise OutputError(f"{path}: does not say where the run was started; its folder has moved or has another name")
    given = normalise_options(words[1:] if words[:1] == [command.name] else words)
    namespace, _ = command.make_parser().parse_known_args(given)
    record["options"] = command.describe_options(namespace)


def _place_options(
    command: Command, record: Mapping[str, Any], arguments: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """The options of the run, with paths as seen from here and a new place for the results."""
    options = dict(record["options"])
    unknown = [name for name in options if name not in command.options]
    if unknown:
        raise ConfigError(f"the record has an option {unknown[0]!r} that {command.name} does not have")
    for name, action in command.options.items():
        if action.type is Path and isinstance(options.get(name), str):
            options[name] = str(Path(str(record.get("folder", ""))) / options[name])
    if options.get("resume"):
        _log.warning("the run was resumed from an earlier one; it is repeated from its beginning")
        options["resume"] = False
    target: Path = arguments.output_dir or folder.with_name(f"{folder.resolve().name}-repeated")
    if "output_dir" in options:
        options["output_dir"] = str(target)
    else:
        options["output"] = str(target / Path(options["output"]).name)
    return {**options, "overwrite": arguments.overwrite, **({"quiet": arguments.quiet} if "quiet" in options else {})}


def _check_inputs(record: Mapping[str, Any], path: Path) -> None:
    """Refuse to repeat a run whose input files have changed."""
    for entry in record.get("inputs", []):
        if not isinstance(entry, dict) or not {"path", "sha256"} <= set(entry):
            raise OutputError(f"{path}: its inputs are not files with their checksums")
        file = Path(str(record.get("folder", ""))) / str(entry["path"])
        if not file.is_file():
            raise OutputError(f"{file}: does not exist any more; {path} needs it")
        if hash_file(file) != entry["sha256"]:
            raise OutputError(f"{file}: has changed since the run in {path.parent}; the run cannot be repeated with it")


def _warn_of_changes(record: Mapping[str, Any]) -> None:
    before, now = record.get("versions", {}), find_versions()
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            _log.warning("%s was %s and is %s now", name, before.get(name), now.get(name))
    was, commit = record.get("git"), find_commit(Path(__file__))
    if was != commit or (was and was["changed"]):
        _log.warning("the code may have changed: it was %s, and is %s now", _name_commit(was), _name_commit(commit))


def _name_commit(commit: Mapping[str, Any] | None) -> str:
    if commit is None:
        return "an installed version"
    return f"{str(commit['commit'])[:10]}{' with changes' if commit['changed'] else ''}"
