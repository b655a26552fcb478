"""The words of a job, checked as those of a command line are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from ptycho_torch.cli.command import Command
from ptycho_torch.cli.options import Parser, normalise_options
from ptycho_torch.errors import ConfigError
from ptycho_torch.jobs.command_line import CommandLine
from ptycho_torch.storage.writing import RECORD_NAME


def check_words_of(commands: Mapping[str, Command], words: Sequence[str]) -> CommandLine:
    """Check the command line of a job as the parser does.

    Args:
        commands: the commands that it may begin with, by name.
        words: the command line, without the program's name.

    Raises:
        ConfigError: it is none of this package, or the parser refuses it.
    """
    command = commands.get(words[0]) if words else None
    if command is None:
        raise ConfigError(f"{words[0][:40]!r} is not a command that a job can run; it must be {', '.join(commands)}")
    parser = _WordParser(prog=f"ptycho-torch {command.name}", description=command.summary, add_help=False)
    command.module.add_arguments(parser)
    found = parser.parse_args(normalise_options(words[1:]))
    folder, output = getattr(found, "output_dir", None), getattr(found, "output", None)
    return CommandLine(
        words=tuple(words),
        record=folder / RECORD_NAME if folder else None,
        output=output if folder is None and isinstance(output, Path) else None,
        can_resume=hasattr(found, "resume"),
        can_overwrite=hasattr(found, "overwrite"),
    )


class _WordParser(Parser):
    """A parser of words that nobody has just typed."""

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError."""
        raise ConfigError(f"{self.prog}: {message}")
