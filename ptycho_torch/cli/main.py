"""The command line: `ptycho-torch COMMAND`, also `python -m ptycho_torch COMMAND`."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence

import ptycho_torch
from ptycho_torch.cli import jobs
from ptycho_torch.cli.all_commands import ALL_COMMANDS
from ptycho_torch.cli.command import Command
from ptycho_torch.cli.completion import complete
from ptycho_torch.cli.config_file import read_config
from ptycho_torch.cli.options import (
    Parser,
    explain_unknown,
    find_actions,
    normalise_options,
    restore_names,
    show_error,
)
from ptycho_torch.cli.shared import set_up_logging
from ptycho_torch.errors import PtychoError, explain_missing_torch
from ptycho_torch.runtime.logs import keep_error
from ptycho_torch.runtime.messages import explain_failure

_log = logging.getLogger(__name__)

_COMMANDS = {
    **ALL_COMMANDS,
    "jobs": Command("jobs", jobs, "run commands from a queue that outlives the processes that work on it"),
}


def list_commands() -> tuple[Command, ...]:
    """All commands, in the order in which `--help` lists them."""
    return tuple(_COMMANDS.values())


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        with contextlib.suppress(OSError):
            print(f"{parser.prog} {ptycho_torch.__version__}")
        parser.exit(_flush(parser.prog))


def main(arguments: Sequence[str] | None = None, command: str | None = None) -> int:
    """Run a command.

    Args:
        arguments: without the program's name; those of the process by default.
        command: the command, if the arguments do not begin with it.

    Returns:
        The exit code: 0; 1 if `repeat` found a difference; 2 for an error that the user can correct; 3 if a
        reconstruction or a job failed; 4 and 5 for what `doctor` and `drift` found; 130 or 143 if a signal
        interrupted it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # names of files need not be text
            stream.reconfigure(errors="backslashreplace")
    given = normalise_options(sys.argv[1:] if arguments is None else arguments)
    if command is None:
        parser = Parser(prog="ptycho-torch", description="Ptychographic reconstruction with physics-informed networks.")
        parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
        choices = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
        for name, known in _COMMANDS.items():
            known.module.add_arguments(choices.add_parser(name, help=known.summary, description=known.summary))
    else:
        parser = _COMMANDS[command].make_parser()
    complete(parser)
    namespace, unknown = parser.parse_known_args(given)
    namespace.command = command or namespace.command
    if unknown:
        whole = _COMMANDS[namespace.command].make_parser()
        chosen = find_actions(whole).get(getattr(namespace, "action", ""), whole)
        chosen.error(explain_unknown(chosen, unknown))
    return run_command(namespace, f"ptycho-torch {namespace.command}")


def run_command(namespace: argparse.Namespace, program: str) -> int:
    """Run the command of parsed options.

    Args:
        namespace: parsed options, with the name of the command.
        program: name at the beginning of error messages.

    Returns:
        The exit code, as `main` does.
    """
    set_up_logging(namespace)
    chosen = _COMMANDS[namespace.command]
    namespace.asked = chosen.describe_options(namespace)
    try:
        _read_config(namespace)
        with explain_missing_torch():
            code: int = chosen.module.run(namespace) or 0
        return max(code, _flush(program))
    except PtychoError as error:
        show_error(f"{program}: {restore_names(str(error), namespace)}")
        keep_error(str(error))
        return 2
    except BrokenPipeError:
        # the reader of the output has ended, as `head` does; all results are written
        _discard_output()
    except KeyboardInterrupt as interruption:
        show_error(f"{program}: interrupted")
        keep_error("interrupted")
        # a run that answers signals says which it was
        return 128 + signal.Signals[getattr(interruption, "signal_name", "SIGINT")]
    except Exception as error:
        keep_error(traceback.format_exc())
        reason = explain_failure(error)
        if reason is None:
            raise
        show_error(f"{program}: {reason}")
        return 2
    return 0


def _flush(program: str) -> int:
    """Write what standard output holds back; returns the exit code of a failure."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
    except OSError as error:
        _discard_output()
        show_error(f"{program}: standard output cannot be written ({error.strerror}); results are in their files")
        return 2
    return 0


def _discard_output() -> None:
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _read_config(namespace: argparse.Namespace) -> None:
    """Read the settings file, if one is named, and warn of sections that the command does not use."""
    if not getattr(namespace, "config", None):
        return
    namespace.stored = read_config(namespace.config)
    for name in namespace.stored:
        if name not in _COMMANDS[namespace.command].sections:
            _log.warning("%s: section %s has no effect on %s", namespace.config, name, namespace.command)
