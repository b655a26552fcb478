"""The command line: `ptycho-torch COMMAND`, also `python -m ptycho_torch COMMAND`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

import ptycho_torch
from ptycho_torch.cli import demo, infer, preflight, refine, simulate, train
from ptycho_torch.cli.config_file import read_config
from ptycho_torch.cli.options import Parser, normalise_options, restore_names
from ptycho_torch.cli.shared import set_up_logging
from ptycho_torch.errors import PtychoError, explain_missing_torch

_log = logging.getLogger(__name__)

_COMMANDS = {
    "simulate": (simulate, "simulate a scan"),
    "train": (train, "train a network on scans"),
    "preflight": (preflight, "check a training without starting it"),
    "infer": (infer, "reconstruct a scan with a trained network and polish the result"),
    "refine": (refine, "reconstruct a scan with the solver alone, without a network"),
    "demo": (demo, "run all steps on simulated scans"),
}


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"{parser.prog} {ptycho_torch.__version__}")
        parser.exit()


def main(arguments: Sequence[str] | None = None, command: str | None = None) -> int:
    """Run a command.

    Args:
        arguments: without the program's name; those of the process by default.
        command: the command, if the arguments do not begin with it.

    Returns:
        The exit code: 0; 2 for an error that the user can correct; 3 if a reconstruction failed; 130 if interrupted.
    """
    given = normalise_options(sys.argv[1:] if arguments is None else arguments)
    if command is None:
        parser = Parser(prog="ptycho-torch", description="Ptychographic reconstruction with physics-informed networks.")
        parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
        choices = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
        for name, (module, summary) in _COMMANDS.items():
            module.add_arguments(choices.add_parser(name, help=summary, description=summary))
    else:
        parser = Parser(prog=f"ptycho-torch {command}", description=_COMMANDS[command][1])
        _COMMANDS[command][0].add_arguments(parser)
    namespace = parser.parse_args(given)
    namespace.command = chosen = command or namespace.command
    set_up_logging(namespace)
    try:
        _read_config(namespace)
        with explain_missing_torch():
            return _COMMANDS[chosen][0].run(namespace) or 0
    except PtychoError as error:
        print(f"ptycho-torch {chosen}: {restore_names(str(error), namespace)}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # the reader of the output has ended, as `head` does; all results are written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print(f"ptycho-torch {chosen}: interrupted", file=sys.stderr)
        return 130
    return 0


def _read_config(namespace: argparse.Namespace) -> None:
    """Read the settings file, if one is named, and warn of sections that the command does not use."""
    if not getattr(namespace, "config", None):
        return
    namespace.stored = read_config(namespace.config)
    for name in namespace.stored:
        if name not in _COMMANDS[namespace.command][0].SECTIONS:
            _log.warning("%s: section %s has no effect on %s", namespace.config, name, namespace.command)
