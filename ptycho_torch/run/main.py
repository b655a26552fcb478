"""The command line of composed configurations: `ptycho-STAGE KEY=VALUE GROUP=NAME ...`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ptycho_torch.cli.completion import complete
from ptycho_torch.cli.options import Parser
from ptycho_torch.config.sweep import SweepSettings
from ptycho_torch.errors import ConfigError, PtychoError
from ptycho_torch.run.completer import complete_override
from ptycho_torch.run.stages import STAGES


def make_parser(stage: str) -> Parser:
    """Make the parser of a stage's command line."""
    command = STAGES[stage]
    parser = Parser(
        prog=f"ptycho-{stage}",
        description=f"{command.summary[0].upper()}{command.summary[1:]}, as a composed configuration describes it.",
        usage=f"ptycho-{stage} [OPTION...] [KEY=VALUE | GROUP=NAME]...",
        add_help=False,
    )
    words = parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="a setting, or an option of a group")
    words.completer = partial(complete_override, stage)  # type: ignore[attr-defined] # argcomplete reads it
    parser.add_argument("-h", "--help", action="store_true", help="show this help, all groups and all keys, and exit")
    parser.add_argument("--cfg", choices=["job"], help="print the composed configuration and exit")
    parser.add_argument("--resolve", action="store_true", help="resolve interpolations in what --cfg prints")
    parser.add_argument(
        "-m",
        "--multirun",
        action="store_true",
        help="run several configurations: KEY=A,B runs both, and sweep.sampler=tpe searches for the best",
    )
    parser.add_argument("-cd", "--config-dir", type=Path, metavar="DIR", help="folder of further configurations")
    parser.add_argument("-cn", "--config-name", metavar="NAME", help=f"configuration to begin with (default: {stage})")
    return parser


def main(stage: str, arguments: Sequence[str] | None = None) -> int:
    """Compose one or several configurations of a stage and run them.

    Returns:
        The exit code: 0; 2 for an error that the user can correct; 3 if a reconstruction failed; 130 if interrupted.
    """
    parser = make_parser(stage)
    complete(parser)
    given = parser.parse_intermixed_args(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(parser, stage, given)
    except PtychoError as error:
        print(f"ptycho-{stage}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name not in ("hydra", "omegaconf", "optuna", "sqlalchemy"):
            raise
        print(
            f"ptycho-{stage}: {error.name} is not installed; python -m pip install 'ptycho-torch[run]'", file=sys.stderr
        )
        return 2
    except BrokenPipeError:
        # the reader of the output has ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(f"ptycho-{stage}: interrupted", file=sys.stderr)
        return 130


def _run(parser: Parser, stage: str, given: argparse.Namespace) -> int:
    from ptycho_torch.run.compose import open_composer
    from ptycho_torch.run.nodes import SWEEP

    with open_composer(STAGES[stage], given.config_name, given.config_dir) as composer:
        if given.help:
            from ptycho_torch.run.help import print_help

            print_help(parser, composer)
            return 0
        if given.cfg:
            print(composer.print(given.overrides, resolve=given.resolve), end="")
            return 0
        if given.multirun:
            from ptycho_torch.run.multirun import run_several

            return run_several(composer, given.overrides)
        configuration = composer.resolve(given.overrides)
    for name, value in configuration.sweep.to_dict().items():
        if value != getattr(SweepSettings(), name):
            raise ConfigError(f"{SWEEP}.{name} is {value!r} and has no effect without --multirun")
    from ptycho_torch.run.launch import run_one

    return run_one(configuration)
